// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sequence numbers: whether a segment is of the connection, or only bears its addresses.
//!
//! A reset ends a flow and a FIN shortens its life, and anybody can send one who knows two
//! addresses and two ports. An endpoint asks for more (RFC 5961), so we do as well: each flow
//! remembers, for each side, the number after the last byte that it was seen to send, and the last
//! one that it has acknowledged. Those are the two numbers that the other side goes by.
//!
//! Windows are not followed: that would take their scales from options, and windows are large. What
//! is asked is stricter. Of a segment's two numbers, one has to be right to the byte and the other
//! one near: so whoever has to guess them gains nothing from a large window, and a flow is found
//! again that went on where we did not see it. What is not believed is still handed on: the other
//! end can judge it better than we can.

use super::seen;
use crate::parse::{Datagram, flags};
use crate::tables::Side;
use crate::wire::{Flow, Progress};

/// How far a number may be from where it is expected, where another one is exact: what a burst of
/// lost or overtaken segments holds.
pub const NEAR: u32 = 1 << 20;

/// What a segment shows of the side that has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Bits of [`seen`].
    pub(super) seen: u32,
    /// How far that side has come.
    pub(super) progress: Progress,
    /// Whether it is what it says; one that ends nothing may be in doubt, and only counts as a sign
    /// of life.
    pub(super) is_believed: bool,
}

/// What a TCP segment shows.
#[inline(always)]
pub(super) fn judge<A>(flow: &Flow, side: Side, datagram: &Datagram<A>) -> Shown {
    let client = Progress::of_word(flow.client_progress);
    let backend = Progress::of_word(flow.backend_progress);
    let (before, own, other) = match side {
        Side::Client => (flow.client_seen, client, backend),
        Side::Backend => (flow.backend_seen, backend, client),
    };
    if flow.client_seen & seen::ACK != 0 {
        established(before, own, other, datagram)
    } else {
        half_open(flow.backend_seen, side, own, other, datagram)
    }
}

/// A segment of a complete connection.
#[inline(always)]
fn established<A>(before: u32, own: Progress, other: Progress, datagram: &Datagram<A>) -> Shown {
    let has = |flag: u8| datagram.tcp_flags & flag != 0;
    if has(flags::RST) {
        // What the other side expects next, or what was sent last: the one is behind the other
        // while data is under way.
        let sequence = datagram.sequence;
        return Shown {
            seen: before | seen::RST,
            progress: own,
            is_believed: sequence == other.acknowledged || sequence == own.next,
        };
    }
    // Only the first segments of a connection bear SYN or no ACK: they say nothing of this one.
    let is_of_flow = !has(flags::SYN) && has(flags::ACK) && is_plausible(own, other, datagram);
    let fin = if has(flags::FIN) { seen::FIN } else { 0 };
    Shown {
        seen: before | fin,
        progress: Progress {
            next: later(own.next, datagram.next),
            acknowledged: later(own.acknowledged, datagram.acknowledges),
        },
        is_believed: is_of_flow,
    }
}

/// Whether a segment with ACK is of the connection.
#[inline(always)]
fn is_plausible<A>(own: Progress, other: Progress, datagram: &Datagram<A>) -> bool {
    let (sequence, acknowledges) = (datagram.sequence, datagram.acknowledges);
    // What the other side has sent and this one has not acknowledged yet. Less than nothing where
    // this side has seen more of it than we have.
    let under_way = other.next.wrapping_sub(own.acknowledged);
    let under_way = if under_way < HALF { under_way } else { 0 };
    let acknowledges_rightly = acknowledges.wrapping_sub(own.acknowledged) <= under_way;
    (acknowledges_rightly && is_near(sequence, own.next))
        || (sequence == own.next && is_near(acknowledges, own.acknowledged))
}

/// A segment of a connection whose client has not answered the backend's SYN yet. Of SYNs the last
/// one counts: a client may try anew from the same port, and a forged one can only keep us from
/// knowing the flow's end early.
#[inline(always)]
fn half_open<A>(
    backend_seen: u32,
    side: Side,
    own: Progress,
    other: Progress,
    datagram: &Datagram<A>,
) -> Shown {
    let has = |flag: u8| datagram.tcp_flags & flag != 0;
    let is_answered = backend_seen & seen::SYN != 0;
    let spoken = Progress {
        next: datagram.next,
        acknowledged: datagram.acknowledges,
    };
    let (bits, progress, is_believed) = match side {
        Side::Client if has(flags::RST) => {
            let is_exact = datagram.sequence == own.next
                || (is_answered && datagram.sequence == other.acknowledged);
            (seen::SYN | seen::RST, own, is_exact)
        }
        Side::Client if has(flags::SYN) => (seen::SYN, spoken, true),
        Side::Client => {
            // Nobody can acknowledge the backend's SYN who has not got it (RFC 4987, section 2).
            let is_answer = has(flags::ACK)
                && is_answered
                && datagram.acknowledges == other.next
                && datagram.sequence.wrapping_sub(other.acknowledged) < NEAR;
            let fin = if has(flags::FIN) { seen::FIN } else { 0 };
            (seen::SYN | seen::ACK | fin, spoken, is_answer)
        }
        Side::Backend if has(flags::RST) => {
            let is_exact = (has(flags::ACK) && datagram.acknowledges == other.next)
                || (is_answered && datagram.sequence == own.next);
            (backend_seen | seen::RST, own, is_exact)
        }
        Side::Backend => {
            let is_syn_ack = has(flags::SYN) && has(flags::ACK);
            let syn = if is_syn_ack { seen::SYN } else { 0 };
            let follows = is_answered && has(flags::ACK);
            // It has answered data that came with the SYN (RFC 7413), and is done.
            let ends = follows
                && has(flags::FIN)
                && datagram.acknowledges == other.next
                && is_near(datagram.sequence, own.next);
            let fin = if ends { seen::FIN } else { 0 };
            (backend_seen | syn | fin, spoken, is_syn_ack || follows)
        }
    };
    Shown {
        seen: bits,
        progress,
        is_believed,
    }
}

/// Half of all numbers: what is less far away is ahead.
const HALF: u32 = 1 << 31;

/// The number that comes later in the stream (RFC 9293, section 3.4).
#[inline(always)]
pub(super) const fn later(known: u32, number: u32) -> u32 {
    if number.wrapping_sub(known) < HALF {
        number
    } else {
        known
    }
}

#[inline(always)]
const fn is_near(number: u32, expected: u32) -> bool {
    number.wrapping_sub(expected).wrapping_add(NEAR) <= 2 * NEAR
}
