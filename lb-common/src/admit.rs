// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may dial a Service, and which of its sets of endpoints they get: what a frontend's entry
//! leaves open; and who is not who they say.

use crate::ends::{self, End};
use crate::family::{Family, Own};
use crate::frame::Frame;
use crate::packet::Packet;
use crate::service::{self, Destination, look};
use crate::tables::{Side, Tables, Torn};
use crate::verdict::Reason;
use crate::wire::{Service, scope};

/// Whether anything is left open.
#[inline(always)]
pub const fn is_asked(destination: &Destination) -> bool {
    destination.flags & (Service::SPLIT | Service::RANGES) != 0
}

/// Lets a client in or not, and makes `frame.destination` that of clients from outside, if this one
/// is.
/// While their entry is still being written, or just gone, everybody's is theirs as well.
///
/// Out of line, like the other rare steps.
#[inline(never)]
pub fn admit<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<(), Reason> {
    let (client, destination) = (&frame.datagram.tuple.source, &frame.destination);
    if destination.flags & Service::RANGES != 0 && !tables.admits(destination.service_id, client) {
        return Err(Reason::NotAdmitted);
    }
    if destination.flags & Service::SPLIT == 0 || !tables.is_uplink(frame.ifindex) {
        return Ok(());
    }
    frame.frontend.scope = scope::OUTSIDE;
    look(tables, frame)?;
    Ok(())
}

/// Whether a packet has come in by an uplink from an address that nobody outside has: a Service's,
/// or this node's own. Of most, the source's trace says that it is neither.
///
/// What the node itself has dialled may be an address that several nodes serve, and another one has
/// answered: so a Service's may be the source of what is for the host, unless a Service is
/// `dialled` there.
#[inline(always)]
pub fn is_spoofed<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &P,
    tables: &T,
    frame: &mut Frame<F::Address>,
    dialled: bool,
) -> Result<bool, Torn> {
    let source = &frame.datagram.tuple.source;
    if !ends::may_be::<F, T>(tables, End::Service, source) || !tables.is_uplink(frame.ifindex) {
        return Ok(false);
    }
    if is_the_hosts::<F, P>(packet, frame, Side::Client) {
        return Ok(true);
    }
    let may_answer = !dialled && is_the_hosts::<F, P>(packet, frame, Side::Backend);
    Ok(!may_answer && is_from_service(tables, frame)?)
}

/// Whether the address that a packet comes from (the client's side) or goes to (the backend's) is
/// this host's own.
///
/// Out of line, as the next one is: the question takes a fifth of the stack.
#[inline(never)]
pub fn is_the_hosts<F: Own, P: Packet + ?Sized>(
    packet: &P,
    frame: &mut Frame<F::Address>,
    side: Side,
) -> bool {
    let (tuple, route) = (&frame.datagram.tuple, &mut frame.passage.asked);
    let (asked, other) = match side {
        Side::Client => (tuple.source, tuple.destination),
        Side::Backend => (tuple.destination, tuple.source),
    };
    route.source = F::widen(other);
    route.destination = F::widen(asked);
    packet.is_for_host(F::NUMBER, &route.source, &route.destination)
}

#[inline(never)]
fn is_from_service<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let source = frame.datagram.tuple.source;
    service::is_address(tables, frame, source)
}
