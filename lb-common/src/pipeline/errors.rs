// SPDX-License-Identifier: MIT OR Apache-2.0
//! ICMP errors about a flow's packets. The flow is left as it is: whoever forges an error changes
//! nothing.

use super::{aim_at_backend, aim_at_client, tunnel};
use crate::conntrack::{self, Age, Target};
use crate::ends::{self, End};
use crate::family::{Family, Own};
use crate::frame::Frame;
use crate::packet::Packet;
use crate::tables::{Tables, Torn};
use crate::verdict::Reason;
use crate::wire::Mask;
use crate::{hairpin, masquerade, related};

/// An ICMP error about what a client was sent, to the backend.
#[inline(always)]
pub(super) fn error_to_backend<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    let quoted = related::read::<F, P>(packet, frame);
    let is_known = quoted.is_ok() && is_of_flow(tables, frame)?;
    if !is_known {
        if quoted.is_ok() && tunnel::may_be_of_another(tables, frame) {
            return Err(Reason::Untunnelled);
        }
        // What has other ports than ours, or none, has been read all the same.
        let is_whole = matches!(quoted, Ok(()) | Err(Reason::NotRelated));
        if is_whole && tunnel::may_be_about_one(tables, frame) {
            return Err(Reason::Untunnelled);
        }
        if quoted != Err(Reason::OtherProtocol) {
            related::give_up::<F>(frame);
        }
        return quoted.and(Err(Reason::NotRelated));
    }
    related::apply::<F, P>(packet, frame)?;
    Ok(Reason::RelatedForwarded)
}

/// Whether the client was sent what is quoted; then `frame.to` is what answers that.
#[inline(always)]
fn is_of_flow<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let known = conntrack::find(tables, &frame.datagram.tuple, &mut frame.flow)?;
    let timeouts = &tables.node().timeouts;
    if known.is_none() || conntrack::age(&frame.flow, tables.now_ns(), timeouts) == Age::Gone {
        return Ok(hairpin::find_answer(tables, frame)? || is_to_node(tables, frame)?);
    }
    frame.target = Target::of(&frame.flow);
    aim_at_backend::<F>(frame);
    Ok(true)
}

/// The same for what a client was sent that its backend has seen as this node.
#[inline(always)]
fn is_to_node<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let backend = &frame.datagram.tuple.source;
    let is_to_node = ends::may_be::<F, T>(tables, End::Behind, backend)
        && masquerade::find(tables, frame, Mask::DESTINATION)?;
    frame.message.is_masked = u8::from(is_to_node);
    Ok(is_to_node)
}

/// An ICMP error about what a client has sent, to the client; or about what it was sent, to a
/// backend that sees it as this node.
#[inline(always)]
pub(super) fn error_to_client<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    related::read::<F, P>(packet, frame)?;
    if conntrack::find_reply(tables, frame)?.is_none() {
        if !masquerade::find(tables, frame, Mask::SOURCE)? {
            return Err(Reason::NotRelated);
        }
        frame.message.is_masked = 1;
        related::apply::<F, P>(packet, frame)?;
        return Ok(Reason::RelatedForwarded);
    }
    if conntrack::age(&frame.flow, tables.now_ns(), &tables.node().timeouts) == Age::Gone {
        return Err(Reason::NotRelated);
    }
    aim_at_client::<F>(frame);
    related::apply::<F, P>(packet, frame)?;
    Ok(Reason::RelatedReplied)
}
