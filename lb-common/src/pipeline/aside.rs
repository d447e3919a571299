// SPDX-License-Identifier: MIT OR Apache-2.0
//! What belongs to no flow that its client has begun with a Service's port.

use super::aim_at_backend;
use crate::family::Own;
use crate::frame::Frame;
use crate::packet::Packet;
use crate::tables::{Side, Tables};
use crate::verdict::Reason;
use crate::{admit, direct, hairpin, refuse, rewrite, service};

/// Whether a packet that would pass for this reason is to be looked at again. As it is, it goes to
/// its destination; but a Service's address is nowhere, so it would go on and on.
#[inline(always)]
pub(super) const fn is_unknown(end: Reason) -> bool {
    matches!(
        end,
        Reason::NotService
            | Reason::OtherProtocol
            | Reason::Extension
            | Reason::Malformed
            | Reason::Fragment
            | Reason::FragmentShort
            | Reason::RelatedFragment
            | Reason::NotRelated
    )
}

/// A packet of which the trunk knows nothing more than `frame.end`: a pod's answer to itself, what
/// must be told apart from a flow of ours, what nobody serves, or none of ours.
#[inline(always)]
pub(super) fn unknown_to_backend<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if admit::is_spoofed(packet, tables, frame, false)? {
        return Err(Reason::Spoofed);
    }
    let may_be_ours = frame.end == Reason::NotService.number();
    let may_be_dialled = frame.is_elsewhere == 0;
    let is_services = may_be_dialled && service::has_address(tables, frame)?;
    // An address of the node's own has no entry that says so.
    let is_dialled =
        is_services || may_be_dialled && admit::is_the_hosts::<F, P>(packet, frame, Side::Backend);
    let end = if is_dialled && may_be_ours && hairpin::find_answer(tables, frame)? {
        Reason::HairpinReplied
    } else if is_services {
        return Ok(refuse::unserved::<F, P>(packet, frame));
    } else {
        if !may_be_ours || !direct::open(tables, frame)? {
            return Ok(refuse::unallocated::<F, P, T>(packet, tables, frame));
        }
        aim_at_backend::<F>(frame);
        Reason::Forwarded
    };
    rewrite::apply::<F, P>(packet, &frame.datagram, &frame.to)?;
    Ok(end)
}

/// A packet between two ports of one pod, which it has sent by way of a Service: it sees the
/// Service as who is calling.
#[inline(always)]
pub(super) fn request_to_itself<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if !hairpin::find_request(tables, frame)? {
        return Err(Reason::NotReply);
    }
    rewrite::apply::<F, P>(packet, &frame.datagram, &frame.to)?;
    Ok(Reason::HairpinForwarded)
}
