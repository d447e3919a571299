// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was there before a flow: another one of the same ends, or a connection that is none of
//! ours, of which nobody knows until the pod speaks of it.

use super::seen;
use crate::parse::{Datagram, flags};
use crate::tables::Stage;
use crate::wire::Flow;

/// What was there before a flow that begins, as a byte in [`crate::frame::Frame::past`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Past {
    /// Nothing that is known.
    Nothing = 0,
    /// A flow of the same ends.
    Flow = 1,
    /// The beginning of this very flow, which has met another connection of the client's port.
    Strange = 2,
}

impl Past {
    /// The byte that stands for it.
    #[inline(always)]
    #[expect(
        clippy::as_conversions,
        reason = "the discriminant; `From` is not const"
    )]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// What this flow is for the one that takes its place. A backend that has never answered has
    /// no late segments of it: so nobody makes us take another connection's for such by a forged
    /// SYN and a forged end of it.
    #[inline(always)]
    pub const fn of(flow: &Flow) -> Self {
        if has_met_another(flow) {
            Self::Strange
        } else if flow.backend_seen & (seen::SYN | seen::RST | seen::AGAIN) != 0 {
            Self::Flow
        } else {
            Self::Nothing
        }
    }
}

/// Whether a flow has met another connection of the client's port, and nothing else. Once the
/// backend has answered the SYN as such there is none: whoever then sends a SYN with the client's
/// address ends nothing.
#[inline(always)]
pub const fn has_met_another(flow: &Flow) -> bool {
    flow.backend_seen & (seen::STRANGE | seen::SYN) == seen::STRANGE
}

/// Whether a backend's segment is of no flow of ours, though its ends are those of one: nobody
/// answers a SYN so. The client has a connection to the pod itself, from the same port, and both
/// look alike to the pod, which answers the SYN with an acknowledgement of what it has (RFC 9293,
/// section 3.10.7.4; RFC 5961, section 4).
///
/// Not where a flow of ours was here before: then it is a late segment of that one.
#[inline(always)]
pub fn is_strange<A>(flow: &Flow, stage: Stage, datagram: &Datagram<A>) -> bool {
    stage == Stage::HalfOpen
        && datagram.is_tcp()
        && datagram.tcp_flags & (flags::SYN | flags::RST) == 0
        && flow.backend_seen & (seen::SYN | seen::RST | seen::AGAIN) == 0
}
