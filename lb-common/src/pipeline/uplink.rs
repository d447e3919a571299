// SPDX-License-Identifier: MIT OR Apache-2.0
//! XDP at an uplink, as a whole: the steps are out of line, where all of them are.

use super::tunnel::is_under_way;
use super::{put_in, put_in_first, relay, relay_back, relay_begun, relay_first};
use crate::ends::{self, End};
use crate::family::{Family as _, Own, V4, V6};
use crate::frame::{Frame, Frames};
use crate::packet::Packet;
use crate::parse::{ethertype, parse};
use crate::tables::Tables;
use crate::verdict::{Reason, Verdict};
use crate::{delivery, refuse};

/// XDP at an uplink: what goes from one other machine to another. Everything else is TC's, as it
/// came.
#[inline(always)]
pub fn uplink<P: Packet + ?Sized, T: Tables<V4> + Tables<V6>>(
    packet: &mut P,
    tables: &mut T,
    frames: &mut Frames,
) -> Reason {
    if !delivery::is_on(tables) {
        return Reason::Continued;
    }
    match ethertype(packet) {
        Ok(V4::ETHERTYPE) => between_uplinks::<V4, P, T>(packet, tables, &mut frames.narrow),
        Ok(V6::ETHERTYPE) => between_uplinks::<V6, P, T>(packet, tables, &mut frames.wide),
        _ => Reason::Continued,
    }
}

/// Whatever comes by an uplink, before the host's stack.
#[inline(always)]
fn between_uplinks<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Reason {
    let mut end = meet::<F, P, T>(packet, tables, frame);
    if end == Reason::Replied {
        end = relay_back::<F, P, T>(packet, tables, frame);
    }
    if end == Reason::NotReply
        && is_under_way(&frame.datagram)
        && ends::may_be::<F, T>(tables, End::Tunnelled, &frame.datagram.tuple.destination)
    {
        end = put_in::<F, P, T>(packet, tables, frame);
    }
    if end == Reason::NotReply {
        end = relay::<F, P, T>(packet, tables, frame);
    }
    if end == Reason::NotService {
        end = relay_begun::<F, P, T>(packet, tables, frame);
    }
    if end == Reason::Untunnelled {
        end = put_in::<F, P, T>(packet, tables, frame);
        if end == Reason::NotReply {
            end = put_in_first::<F, P, T>(packet, tables, frame);
        }
    }
    if end == Reason::Forwarded {
        end = relay_first::<F, P, T>(packet, tables, frame);
    }
    if end.verdict() == Verdict::Answer {
        end = if delivery::is_sent_here(packet, tables, &mut frame.uplink) {
            refuse::answer::<F, P, T>(packet, tables, frame, end)
        } else {
            Reason::Continued
        };
    }
    if end.verdict() == Verdict::Pass {
        return Reason::Continued;
    }
    end
}

/// Reads the packet: whether it may be a backend's answer to who was shown to it as this node
/// ([`Reason::Replied`]), or is not ([`Reason::NotReply`]), or cannot be read.
#[inline(always)]
fn meet<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &P,
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Reason {
    frame.ifindex = packet.ifindex();
    frame.is_begun = 0;
    frame.was_back = 0;
    match parse::<F, P>(packet, &mut frame.datagram) {
        Err(reason) => reason,
        Ok(()) if ends::may_be::<F, T>(tables, End::Behind, &frame.datagram.tuple.source) => {
            Reason::Replied
        }
        Ok(()) => Reason::NotReply,
    }
}
