// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fragments: what the first one of a datagram means for the others, and where those go.

use crate::family::Family;
use crate::fragment;
use crate::frame::Frame;
use crate::packet::Packet;
use crate::tables::{Side, Tables};
use crate::verdict::Reason;

/// A later fragment from the client's side, to where the first one went.
#[inline(always)]
pub(super) fn fragment_to_backend<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if !fragment::find(tables, frame, Side::Client)? {
        return Ok(Reason::Fragment);
    }
    fragment::apply::<F, P>(packet, frame)?;
    Ok(Reason::FragmentForwarded)
}

/// A later fragment from the backend's side, from whom the first one came. Of one that nothing is
/// known of nobody can say whether it is a reply at all, so it passes, unless the two were seen to
/// talk like that.
#[inline(always)]
pub(super) fn fragment_to_client<F: Family, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if !fragment::find(tables, frame, Side::Backend)? {
        return Ok(if fragment::is_of_pair(tables, frame)? {
            Reason::FragmentEarly
        } else {
            Reason::Fragment
        });
    }
    fragment::apply::<F, P>(packet, frame)?;
    Ok(Reason::FragmentReplied)
}

/// What the end of a first fragment means for the later ones, and how it ends.
#[inline(never)]
pub(super) fn first_fragment<F: Family, T: Tables<F>>(
    tables: &mut T,
    frame: &mut Frame<F::Address>,
    side: Side,
    end: Reason,
) -> Reason {
    match end {
        Reason::Forwarded
        | Reason::Unpinned
        | Reason::Replied
        | Reason::Unbelieved
        | Reason::HairpinForwarded
        | Reason::Masqueraded
        | Reason::Unmasked
        | Reason::HairpinReplied => {
            fragment::learn(tables, frame, side);
            if end == Reason::Replied {
                fragment::learn_pair(tables, frame);
            }
            return end;
        }
        // What the pod sends to a client of its own accord, beside its answers: all that passes.
        Reason::NotReply | Reason::OtherProtocol | Reason::FragmentShort | Reason::Beside
            if matches!(side, Side::Backend)
                && fragment::is_of_pair(tables, frame) != Ok(false) =>
        {
            frame.to = frame.datagram.tuple;
            fragment::learn(tables, frame, side);
        }
        // The host's stack gets all of it, as it is.
        Reason::Foreign | Reason::ForeignUnknown => {
            frame.to = frame.datagram.tuple;
            fragment::learn(tables, frame, side);
            return end;
        }
        _ => fragment::forget(tables, frame, side),
    }
    match side {
        // A client is who judges what it is sent.
        Side::Backend if end == Reason::FragmentShort => Reason::Fragment,
        Side::Backend | Side::Client => end,
    }
}
