// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Flows from another table, when the agent moves to maps of other sizes: only a program can start
//! a flow's timer, so the agent runs this one with the entries as its packet.

use crate::{
    maps::{FamilyMaps, FrameUse, frames},
    skb::Skb,
    tables::KernelTables,
};
use lb_common::{
    family::NETWORK_AT,
    frame::{Frame, Frames},
    packet::OutOfPacket,
    tables::{InsertError, Side, Stage, Tables, Touch},
    wire::{Flow, Tuple},
};

/// Made, or there already.
const DONE: i32 = 0;
/// The packet does not hold all four parts.
const SHORT: i32 = 1;
/// No room.
const FULL: i32 = 2;

/// Makes both entries of a flow. After 14 bytes of Ethernet header, which say nothing, the packet
/// holds the flow's key, the flow, the key of its reverse entry, and that entry.
#[inline(always)]
pub(crate) fn adopt<F: FamilyMaps>(
    packet: &Skb,
    pick: impl Fn(&mut Frames) -> &mut Frame<F::Address>,
) -> i32 {
    let Some(frames) = frames(FrameUse::Adoption) else {
        return SHORT;
    };
    match adopt_parts::<F>(packet, pick(frames)) {
        Ok(Ok(()) | Err(InsertError::Taken)) => DONE,
        Ok(Err(InsertError::Full)) => FULL,
        Err(OutOfPacket) => SHORT,
    }
}

#[inline(always)]
fn adopt_parts<F: FamilyMaps>(
    packet: &Skb,
    frame: &mut Frame<F::Address>,
) -> Result<Result<(), InsertError>, OutOfPacket> {
    let key_length = size_of::<Tuple<F::Address>>();
    let flow_at = NETWORK_AT + key_length;
    let reverse_key_at = flow_at + size_of::<Flow>();
    packet.load_value(NETWORK_AT, &mut frame.owner)?;
    packet.load_value(flow_at, &mut frame.flow)?;
    packet.load_value(reverse_key_at, &mut frame.reverse_key)?;
    packet.load_value(reverse_key_at + key_length, &mut frame.reverse)?;
    // The flow first, as in `conntrack::open`.
    let tables = &mut KernelTables;
    let made = Tables::<F>::insert_flow(tables, Stage::Established, &frame.owner, &frame.flow);
    match made {
        Ok(()) => {}
        Err(InsertError::Full) => return Ok(made),
        Err(InsertError::Taken) => catch_up::<F>(tables, frame),
    }
    let (key, reverse) = (&frame.reverse_key, &frame.reverse);
    Ok(Tables::<F>::insert_reverse(
        tables,
        Stage::Established,
        key,
        reverse,
    ))
}

/// The flow was taken over before, and packets have passed in the other table since: had they
/// ended it, it would live on here as if nothing had been.
#[inline(always)]
fn catch_up<F: FamilyMaps>(tables: &mut KernelTables, frame: &mut Frame<F::Address>) {
    let Flow {
        born_ns,
        expires_ns,
        client_seen,
        backend_seen,
        ..
    } = frame.flow;
    let place = Tables::<F>::flow(tables, Stage::Established, &frame.owner, &mut frame.flow);
    let Ok(Some(place)) = place else {
        return;
    };
    let known = &frame.flow;
    let new_seen = (client_seen & !known.client_seen) | (backend_seen & !known.backend_seen);
    if known.born_ns != born_ns || (new_seen == 0 && expires_ns <= known.expires_ns) {
        return;
    }
    for (side, seen) in [
        (Side::Client, client_seen | known.client_seen),
        (Side::Backend, backend_seen | known.backend_seen),
    ] {
        let touch = Touch {
            side,
            seen,
            expires_ns,
        };
        Tables::<F>::touch(tables, Stage::Established, place, known, touch);
    }
}
