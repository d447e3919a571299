// SPDX-License-Identifier: MIT OR Apache-2.0
//! Past the host's stack, where a packet may: see [`crate::delivery`].

use super::aim_at_client;
use crate::conntrack::{self, Age, Step};
use crate::family::Own;
use crate::frame::Frame;
use crate::packet::Packet;
use crate::tables::{Side, Tables};
use crate::verdict::Reason;
use crate::{delivery, rewrite};

/// A client's packet that has been translated, to its next hop; otherwise it ends as it would have.
#[inline(always)]
pub(super) fn forwarded_directly<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    let (datagram, passage) = (&frame.datagram, &mut frame.passage);
    let found = delivery::find::<F, P, T>(packet, tables, datagram, &frame.to, passage);
    let Some(hops_left) = found else {
        return Ok(Reason::Forwarded);
    };
    delivery::hand_over::<F, P>(packet, &frame.passage, hops_left)?;
    Ok(Reason::ForwardedDirectly)
}

/// A backend's packet, where it enters the node. Its source may be changed here only if the same
/// run delivers it: everything else, and what is rare, is left to egress as it is.
#[inline(always)]
pub(super) fn replied_directly<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    let known = conntrack::find_reply(tables, frame)?.ok_or(Reason::NotService)?;
    let now_ns = tables.about_now_ns();
    let node = tables.node();
    if conntrack::age(&frame.flow, now_ns, &node.timeouts) == Age::Gone
        || conntrack::is_strange(&frame.flow, known.stage, &frame.datagram)
    {
        return Err(Reason::NotService);
    }
    let (datagram, passage) = (&frame.datagram, &mut frame.passage);
    let found = delivery::find::<F, P, T>(packet, tables, datagram, &datagram.tuple, passage);
    let hops_left = found.ok_or(Reason::NotService)?;
    match conntrack::follow::<F>(frame, Side::Backend, now_ns, &node.timeouts) {
        Step::Touched => {
            let (flow, touch) = (&frame.flow, &frame.touch);
            tables.touch(known.stage, known.place, flow, Side::Backend, touch);
        }
        Step::Unbelieved => return Err(Reason::NotService),
        Step::Nothing => {}
    }

    aim_at_client::<F>(frame);
    rewrite::apply::<F, P>(packet, &frame.datagram, &frame.to)?;
    delivery::hand_over::<F, P>(packet, &frame.passage, hops_left)?;
    Ok(Reason::RepliedDirectly)
}
