// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flows that are known: what was seen of them, how long they live, and where their entries are.
//!
//! A flow's state is not stored but follows from what each side was seen to send. Each side has
//! words of its own, so two processors that see both directions at once lose nothing of each other.

mod numbers;
mod choice;
mod entries;
mod past;
mod sweep;
mod merge;

pub use choice::{Choice, Target};
pub use entries::{
    Known, completes, find, find_answered, find_reply, forget, has_reverse, is_answerable,
    is_direct, is_free, lead_back, open, promote, write_reverse_key,
};
pub use merge::merge;
pub use numbers::NEAR;
pub use past::{Past, has_met_another, is_strange};
pub use sweep::{Swept, end, sweep};

use crate::family::Family;
use crate::frame::Frame;
use crate::parse::{Datagram, flags};
use crate::tables::{Side, Touch};
use crate::wire::{Flow, Timeouts, protocol};

/// Bits of [`Flow::client_seen`] and [`Flow::backend_seen`].
pub mod seen {
    /// The client's SYN, or the backend's SYN with ACK.
    pub const SYN: u32 = 1;
    /// The client has acknowledged the backend's SYN: the handshake is complete.
    pub const ACK: u32 = 2;
    /// FIN: no more data from this side.
    pub const FIN: u32 = 4;
    /// RST: the connection is over.
    pub const RST: u32 = 8;
    /// A datagram (UDP), or an SCTP packet.
    pub const DATA: u32 = 16;
    /// Of the backend's word, from the start: another flow of the same ends was here before.
    pub const AGAIN: u32 = 32;
    /// Of the backend's: to the client's SYN it has answered with a segment of another connection.
    pub const STRANGE: u32 = 64;
}

/// Where a flow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// TCP, handshake not complete.
    HalfOpen,
    /// TCP, data may flow both ways.
    Established,
    /// TCP, one side has sent FIN.
    HalfClosed,
    /// TCP, both sides have sent FIN, or one a RST.
    Closed,
    /// UDP or SCTP, the backend has not answered yet.
    Unanswered,
    /// UDP or SCTP with answers; what an SCTP association's end looks like is left to the time-out,
    /// as its heartbeats come every 30 s (RFC 9260, section 8.3).
    Answered,
}

/// Where a flow of a protocol stands, from what was seen of both sides.
#[inline(always)]
pub const fn state(protocol: u8, client_seen: u32, backend_seen: u32) -> State {
    if protocol != protocol::TCP {
        return if backend_seen & seen::DATA != 0 {
            State::Answered
        } else {
            State::Unanswered
        };
    }
    if is_closed(client_seen, backend_seen) {
        State::Closed
    } else if client_seen & seen::ACK == 0 {
        State::HalfOpen
    } else if (client_seen | backend_seen) & seen::FIN != 0 {
        State::HalfClosed
    } else {
        State::Established
    }
}

/// Whether a connection is over: both sides have sent FIN, or one a RST.
#[inline(always)]
const fn is_closed(client_seen: u32, backend_seen: u32) -> bool {
    (client_seen | backend_seen) & seen::RST != 0 || client_seen & backend_seen & seen::FIN != 0
}

/// How long a flow in a state may be silent. An ended flow is a tombstone at once.
#[inline(always)]
pub const fn timeout_ns(state: State, timeouts: &Timeouts) -> u64 {
    match state {
        State::HalfOpen => timeouts.half_open_ns,
        State::Established => timeouts.established_ns,
        State::HalfClosed => timeouts.close_wait_ns,
        State::Closed => 0,
        State::Unanswered => timeouts.udp_unanswered_ns,
        State::Answered => timeouts.udp_answered_ns,
    }
}

/// How far a flow's life has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Within its time-out.
    Live,
    /// Ended or silent for too long: still translated, but a new flow may take its place.
    Tombstone,
    /// Nothing but an entry that nobody has removed yet.
    Gone,
}

/// How far a flow's life has gone at a time.
///
/// What both sides have sent counts before the time: where their last segments meet on two
/// processors, each writes down the time of a flow that is half closed.
#[inline(always)]
pub const fn age(flow: &Flow, now_ns: u64, timeouts: &Timeouts) -> Age {
    if outlives_itself(flow, now_ns) {
        Age::Tombstone
    } else if now_ns < flow.expires_ns {
        Age::Live
    } else if now_ns < flow.expires_ns.saturating_add(timeouts.tombstone_ns) {
        Age::Tombstone
    } else {
        Age::Gone
    }
}

/// Whether a flow is over and its time says otherwise, see [`age`]: whoever meets it mends that.
#[inline(always)]
const fn outlives_itself(flow: &Flow, now_ns: u64) -> bool {
    now_ns < flow.expires_ns && is_closed(flow.client_seen, flow.backend_seen)
}

/// Whether both ends of a TCP flow have met, and neither has begun to part.
#[inline(always)]
pub const fn is_established(flow: &Flow) -> bool {
    let state = state(protocol::TCP, flow.client_seen, flow.backend_seen);
    matches!(state, State::Established)
}

/// Whether a flow has begun so lately that its other entry may not be there yet.
#[inline(always)]
pub const fn is_new(flow: &Flow, now_ns: u64) -> bool {
    const LATELY_NS: u64 = 10_000_000;
    flow.backend_seen & (seen::DATA | seen::SYN) == 0
        && now_ns < flow.born_ns.saturating_add(LATELY_NS)
}

/// Whether a datagram's flow has no answer yet, and was asked again: once in [`PROLONG_NS`].
#[inline(always)]
pub const fn waits(flow: &Flow, now_ns: u64, timeouts: &Timeouts) -> bool {
    let expires_ns = now_ns.saturating_add(timeouts.udp_unanswered_ns);
    flow.backend_seen & seen::DATA == 0 && prolongs(flow, expires_ns)
}

/// How much a packet must prolong a flow's life before that is written down: most packets of a busy
/// flow then write one word, which is how far their side has come, or nothing.
const PROLONG_NS: u64 = 1_000_000_000;

/// Whether that much later an end is to be written down.
#[inline(always)]
const fn prolongs(flow: &Flow, expires_ns: u64) -> bool {
    expires_ns >= flow.expires_ns.saturating_add(PROLONG_NS)
}

/// What a packet means for its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is to be written down.
    Nothing,
    /// Something is, which was put into the touch.
    Touched,
    /// It says that it ends the flow, or its side of it, and is not believed: nothing is.
    Unbelieved,
}

/// What `frame.datagram` means for `frame.flow`, and what is to be written down in `frame.touch`.
///
/// Out of line: what it keeps on the stack is gone when the deep calls come.
#[inline(never)]
pub fn follow<F: Family>(
    frame: &mut Frame<F::Address>,
    side: Side,
    now_ns: u64,
    timeouts: &Timeouts,
) -> Step {
    let (flow, datagram, touch) = (&frame.flow, &frame.datagram, &mut frame.touch);
    step(flow, side, datagram, now_ns, timeouts, touch)
}

/// What a packet from one side means for a flow; a tombstone is revived by none.
#[inline(always)]
pub fn step<A>(
    flow: &Flow,
    side: Side,
    datagram: &Datagram<A>,
    now_ns: u64,
    timeouts: &Timeouts,
    touch: &mut Touch,
) -> Step {
    let (before, progress) = match side {
        Side::Client => (flow.client_seen, flow.client_progress),
        Side::Backend => (flow.backend_seen, flow.backend_progress),
    };
    touch.seen = before;
    touch.progress = progress;
    touch.expires_ns = flow.expires_ns;
    if outlives_itself(flow, now_ns) {
        touch.expires_ns = now_ns;
        return Step::Touched;
    }
    if !matches!(age(flow, now_ns, timeouts), Age::Live) {
        return Step::Nothing;
    }
    if datagram.is_tcp() {
        let shown = numbers::judge(flow, side, datagram);
        if shown.is_believed {
            touch.seen = shown.seen;
            touch.progress = shown.progress.word();
        } else if datagram.tcp_flags & (flags::RST | flags::FIN) != 0 {
            return Step::Unbelieved;
        }
    } else {
        touch.seen |= seen::DATA;
    }
    let (client, backend) = match side {
        Side::Client => (touch.seen, flow.backend_seen),
        Side::Backend => (flow.client_seen, touch.seen),
    };
    let state = state(datagram.tuple.protocol, client, backend);
    let expires_ns = now_ns.saturating_add(timeout_ns(state, timeouts));
    // A backend answers whoever says that he is a client, and asks for the ACK of one who does not
    // exist for a minute and longer: that is no sign of life of anybody's.
    let is_alive = !matches!((state, side), (State::HalfOpen, Side::Backend));
    let changes = touch.seen != before;
    let prolongs = is_alive && (changes || prolongs(flow, expires_ns));
    // A packet that changes nothing never shortens a life: the clocks of processors differ.
    if prolongs {
        touch.expires_ns = expires_ns;
    }
    if changes || prolongs || touch.progress != progress {
        Step::Touched
    } else {
        Step::Nothing
    }
}
