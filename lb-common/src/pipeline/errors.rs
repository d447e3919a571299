// SPDX-License-Identifier: MIT OR Apache-2.0
//! ICMP errors about a flow's packets. The flow is left as it is: whoever forges an error changes
//! nothing.

use super::{aim_at_backend, aim_at_client};
use crate::conntrack::{self, Age, Target};
use crate::family::Family;
use crate::frame::Frame;
use crate::hairpin;
use crate::packet::Packet;
use crate::related;
use crate::tables::Tables;
use crate::verdict::Reason;

/// An ICMP error about what a client was sent, to the backend.
#[inline(always)]
pub(super) fn error_to_backend<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    related::read::<F, P>(packet, frame)?;
    let known = conntrack::find(tables, &frame.datagram.tuple, &mut frame.flow)?;
    let timeouts = &tables.node().timeouts;
    if known.is_some() && conntrack::age(&frame.flow, tables.now_ns(), timeouts) != Age::Gone {
        frame.target = Target::of(&frame.flow);
        aim_at_backend::<F>(frame);
    } else if !hairpin::find_answer(tables, frame)? {
        return Err(Reason::NotRelated);
    }
    related::apply::<F, P>(packet, frame)?;
    Ok(Reason::RelatedForwarded)
}

/// An ICMP error about what a client has sent, to the client.
#[inline(always)]
pub(super) fn error_to_client<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    related::read::<F, P>(packet, frame)?;
    conntrack::find_reply(tables, frame)?.ok_or(Reason::NotRelated)?;
    if conntrack::age(&frame.flow, tables.now_ns(), &tables.node().timeouts) == Age::Gone {
        return Err(Reason::NotRelated);
    }
    aim_at_client::<F>(frame);
    related::apply::<F, P>(packet, frame)?;
    Ok(Reason::RelatedReplied)
}
