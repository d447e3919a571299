// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients behind an uplink whose backends are behind one as well: see [`crate::masquerade`].

use crate::conntrack;
use crate::family::{Family, Own};
use crate::frame::Frame;
use crate::packet::Packet;
use crate::tables::{Stage, Tables};
use crate::verdict::Reason;
use crate::wire::Mask;
use crate::{masquerade, rewrite};

/// A flow that has just begun, of a client that may need to be shown as this node: forwarded,
/// unless it cannot be. Then the flow ends, so that the client's next try begins it anew. A packet
/// that follows on another processor does the same, or it might leave as the client's.
#[inline(always)]
pub(super) fn begun_from_outside<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    match masquerade::begin(packet, tables, frame) {
        Ok(_is_shown) => Ok(Reason::Forwarded),
        Err(reason) => {
            conntrack::forget(tables, frame, Stage::HalfOpen)?;
            Err(reason)
        }
    }
}

/// A client's packet on its way to a backend elsewhere, which sees it as this node's.
#[inline(always)]
pub(super) fn sent_as_node<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if !masquerade::find(tables, frame, Mask::SOURCE)? {
        return Err(Reason::NotReply);
    }
    rewrite::apply::<F, P>(packet, &frame.datagram, &frame.to)?;
    Ok(Reason::Masqueraded)
}

/// Such a backend's packet to this node, on its way to the client.
#[inline(always)]
pub(super) fn answered_to_node<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if !masquerade::find(tables, frame, Mask::DESTINATION)? {
        return Err(Reason::NotService);
    }
    rewrite::apply::<F, P>(packet, &frame.datagram, &frame.to)?;
    Ok(Reason::Unmasked)
}
