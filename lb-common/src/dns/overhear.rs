// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers of whoever serves the DNS Service, on their way to clients: where the kernel is not to
//! answer yet, the agent compares them with what it would have answered.

use super::question::{MESSAGE, Scratch};
use crate::family::{Family, Own, V4, V6};
use crate::frame::{Frame, Frames};
use crate::packet::Packet;
use crate::parse::ethertype;
use crate::tables::Environment;
use crate::wire::{ResolverMode, protocol};

/// Whether a packet that was translated back is such an answer, and somebody compares: then the
/// scratch has its message, or the first [`MESSAGE`] bytes of it.
#[inline(always)]
pub fn overhear<P: Packet + ?Sized, T: Environment>(
    packet: &P,
    tables: &T,
    frames: &mut Frames,
) -> bool {
    let mode = tables.resolver().map(|resolver| resolver.mode);
    if mode.map(ResolverMode::from_byte) != Some(ResolverMode::Shadow) {
        return false;
    }
    let Frames {
        narrow,
        wide,
        names,
    } = frames;
    match ethertype(packet) {
        Ok(V4::ETHERTYPE) => is_heard::<V4, P, T>(packet, tables, narrow, names),
        Ok(V6::ETHERTYPE) => is_heard::<V6, P, T>(packet, tables, wide, names),
        _ => false,
    }
}

/// Out of line, so that the verifier learns nothing that would make it follow the rest twice.
#[inline(never)]
fn is_heard<F: Own, P: Packet + ?Sized, T: Environment>(
    packet: &P,
    tables: &T,
    frame: &Frame<F::Address>,
    scratch: &mut Scratch,
) -> bool {
    let (datagram, to) = (&frame.datagram, &frame.to);
    let Some(resolver) = tables.resolver() else {
        return false;
    };
    let is_answer = to.protocol == protocol::UDP
        && datagram.is_first == 0
        && to.source_port == resolver.port
        && to.source == F::resolver(&resolver);
    if !is_answer {
        return false;
    }
    let at = datagram.transport_at + 8;
    scratch.length = datagram.end.saturating_sub(at).min(MESSAGE);
    let loaded = packet.load_some(at, scratch.length, &mut scratch.message);
    loaded.is_ok()
}
