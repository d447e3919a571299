// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fragments: the first one of a datagram has the ports, and teaches where the others go.
//!
//! A first fragment is translated as a whole datagram is: its checksum covers all of them, and is
//! corrected for what changes. The others bear addresses alone, so nothing else in them changes.

use crate::csum::Change;
use crate::family::{Family, NETWORK_AT};
use crate::frame::Frame;
use crate::packet::{OutOfPacket, Packet, Part};
use crate::tables::{Side, Tables, Torn};
use crate::wire::fingerprint;

/// How long what a first fragment has taught is used. Hosts wait 30 s (Linux) to 60 s (RFC 8200,
/// section 4.5) for the rest, and give the same number to another datagram some time after that.
pub const LIFE_NS: u64 = 30_000_000_000;

/// [`FragmentKey::side`] of what is known of a backend and its client, whatever the datagram.
const PAIR: u8 = 2;

/// Writes the key of what the packet of `frame.datagram` is a fragment of, as it has come.
#[inline(always)]
fn write_key<F: Family>(frame: &mut Frame<F::Address>, side: Side) {
    let (key, datagram) = (&mut frame.fragment_key, &frame.datagram);
    key.source = datagram.tuple.source;
    key.destination = datagram.tuple.destination;
    key.identification = datagram.identification;
    key.protocol = if F::PROTOCOL_NAMES_FRAGMENTS {
        datagram.tuple.protocol
    } else {
        0
    };
    key.side = match side {
        Side::Client => 0,
        Side::Backend => 1,
    };
    key.pad = [0; 2];
}

/// Notes that the fragments of this first one's datagram go as it does, to `frame.to`.
#[inline(always)]
pub fn learn<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>, side: Side) {
    write_key::<F>(frame, side);
    frame.fragment.address = F::widen(match side {
        Side::Client => frame.to.destination,
        Side::Backend => frame.to.source,
    });
    note(tables, frame);
}

/// Writes `frame.fragment` down, as of now.
#[inline(always)]
fn note<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) {
    let now_ns = tables.now_ns();
    let fragment = &mut frame.fragment;
    fragment.learnt_ns = now_ns;
    fragment.identity = fingerprint(&frame.fragment_key);
    fragment.learnt_ns_end = now_ns;
    tables.learn_fragment(&frame.fragment_key, fragment);
}

/// Notes that this backend answers this client in fragments, which bear no ports: from now on one
/// of which nothing is known is taken for an answer's that comes too early.
#[inline(always)]
pub fn learn_pair<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>) {
    write_pair::<F>(frame);
    note(tables, frame);
}

/// Whether a backend was seen to answer its client in fragments.
#[inline(always)]
pub fn is_of_pair<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    write_pair::<F>(frame);
    is_known(tables, frame)
}

#[inline(always)]
fn write_pair<F: Family>(frame: &mut Frame<F::Address>) {
    write_key::<F>(frame, Side::Backend);
    let key = &mut frame.fragment_key;
    (key.identification, key.protocol, key.side) = ([0; 4], 0, PAIR);
}

/// Copies what is known of `frame.fragment_key`, if it is young enough.
#[inline(always)]
fn is_known<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let found = tables.fragment(&frame.fragment_key, &mut frame.fragment)?;
    let end_ns = frame.fragment.learnt_ns.saturating_add(LIFE_NS);
    Ok(found.is_some() && tables.now_ns() < end_ns)
}

/// Forgets what another datagram of that number has taught: this one is not translated.
#[inline(always)]
pub fn forget<F: Family, T: Tables<F>>(tables: &mut T, frame: &mut Frame<F::Address>, side: Side) {
    write_key::<F>(frame, side);
    tables.forget_fragment(&frame.fragment_key);
}

/// Looks for what the first fragment has taught; where it is known, `frame.to` becomes the
/// addresses of this later one.
#[inline(always)]
pub fn find<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
    side: Side,
) -> Result<bool, Torn> {
    write_key::<F>(frame, side);
    if !is_known(tables, frame)? {
        return Ok(false);
    }
    frame.to = frame.datagram.tuple;
    let address = F::narrow(frame.fragment.address);
    match side {
        Side::Client => frame.to.destination = address,
        Side::Backend => frame.to.source = address,
    }
    Ok(true)
}

/// Gives a later fragment the addresses of `frame.to`.
#[inline(always)]
pub fn apply<F: Family, P: Packet + ?Sized>(
    packet: &mut P,
    frame: &Frame<F::Address>,
) -> Result<(), OutOfPacket> {
    let (from, to) = (&frame.datagram.tuple, &frame.to);
    let change: Change =
        F::change(&from.source, &to.source).plus(F::change(&from.destination, &to.destination));
    F::store_addresses(packet, NETWORK_AT, to.source, to.destination, change)?;
    if F::PSEUDO_HEADER == Part::Addresses {
        packet.account_for(change);
    }
    Ok(())
}
