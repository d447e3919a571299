// SPDX-License-Identifier: MIT OR Apache-2.0
//! Into a tunnel to a backend's node, and out of one to this node: see [`crate::tunnel`].

use super::{begin, dialled, give_up, holds};
use crate::conntrack::{self, Choice};
use crate::delivery::{self, Routed};
use crate::ends::{self, End};
use crate::family::{Family, NETWORK_AT, Own};
use crate::frame::Frame;
use crate::packet::Packet;
use crate::parse::{Datagram, parse};
use crate::service;
use crate::tables::{Side, Tables, Torn};
use crate::tunnel::{self, Format, errand};
use crate::verdict::Reason;
use crate::wire::{BackendState, FrontendKey, Takeover, Tunnelled, fingerprint, protocol, scope};
use crate::{admit, affinity, path_mtu, related, select};

/// Whether a packet of no flow goes into a tunnel, if its backend turns out to be elsewhere: it has
/// come by an uplink, to a Service at whose address that is wanted, or was before: flows stay where
/// they are.
#[inline(always)]
pub(super) fn may_enter<F: Own, T: Tables<F>>(tables: &T, frame: &Frame<F::Address>) -> bool {
    frame.datagram.is_first == 0
        && frame.was_back == 0
        && ends::may_be::<F, T>(tables, End::Tunnelled, &frame.datagram.tuple.destination)
        && tables.is_uplink(frame.ifindex)
}

/// Whether an ICMP error about no flow of this node's may be about one that another node serves;
/// then `frame.errand` says so.
#[inline(always)]
pub(super) fn may_be_of_another<F: Family, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> bool {
    let dialled = &frame.message.destination;
    ends::may_be::<F, T>(tables, End::Tunnelled, dialled)
        && tables.is_uplink(frame.ifindex)
        && tunnel::has_errand(frame, errand::FOLLOW)
}

/// Whether an ICMP error about no flow of this node's may be about a packet that it has sent into a
/// tunnel; likewise.
#[inline(always)]
pub(super) fn may_be_about_one<F: Own, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> bool {
    path_mtu::looks_so::<F>(frame)
        && tables.is_uplink(frame.ifindex)
        && tunnel::has_errand(frame, errand::HEED)
}

/// Whether it is a segment from the middle of a connection, which only its ends can move.
#[inline(always)]
pub(super) fn is_under_way<A>(datagram: &Datagram<A>) -> bool {
    datagram.is_tcp() && !datagram.opens() && datagram.is_first == 0
}

/// A packet of a flow that another node is known to serve, to that node; none of such a flow:
/// [`Reason::NotReply`].
#[inline(always)]
pub(super) fn packet_of_known<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    let known = tables.tunnelled(&frame.datagram.tuple, &mut frame.tunnelled)?;
    known.ok_or(Reason::NotReply)?;
    let backend = tables.backend(frame.tunnelled.backend)?;
    let epoch = frame.tunnelled.epoch;
    let backend = backend.filter(|backend| backend.epoch == epoch);
    let state = backend.map_or(BackendState::Free, |backend| {
        BackendState::from_byte(backend.state)
    });
    let is_under_way = is_under_way(&frame.datagram);
    let holds = match state {
        BackendState::Active => true,
        // Old flows stay, and new ones do not begin; of datagrams nobody knows which they are.
        BackendState::Draining => !frame.datagram.opens(),
        // As other connections do, though the backend is gone: only the two ends can end it.
        BackendState::Quiet | BackendState::Free => is_under_way,
    };
    // What may be new goes where its Service wants it now.
    let is_wanted = is_under_way
        || frame.errand == errand::FOLLOW
        || Format::of_flags(frame.destination.flags).is_some();
    if !holds || !is_wanted {
        return Err(Reason::NotReply);
    }
    frame.target.address = frame.tunnelled.address;
    find_way(packet, tables, frame)?;
    send::<F, P>(packet, frame)
}

/// A packet to [`Frame::destination`] of which no more is known: chooses a backend, as every node
/// does, and goes there if that one is behind an uplink.
#[inline(always)]
pub(super) fn packet_of_unknown<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if frame.errand == errand::GO_ON {
        if !dialled(packet, tables, frame)? {
            return Err(Reason::NotReply);
        }
        frame.errand = errand::ENTER;
    }
    let node = tables.node();
    let format = Format::of_flags(frame.destination.flags).ok_or(Reason::Continued)?;
    // What nobody serves is refused as always, and what may be netfilter's is left to it.
    if frame.destination.slot_count == 0 || node.takeover != Takeover::Done.number() {
        return Err(Reason::Continued);
    }
    select::mark::<F>(node.seed, frame);
    let is_pinned = affinity::find(tables, frame)?;
    let id = if is_pinned {
        frame.affinity.backend
    } else {
        select::choose(tables, &frame.destination, &frame.mark, 0).ok_or(Reason::NoBackend)?
    };
    let backend = tables.backend(id)?.ok_or(Reason::NoBackend)?;
    frame.target.address = backend.address;
    frame.choice = Choice {
        epoch: backend.epoch,
        backend: backend.id,
        service_id: frame.destination.service_id,
    };
    let since_ns = tables.now_ns();
    frame.tunnelled = Tunnelled {
        since_ns,
        identity: fingerprint(&frame.datagram.tuple),
        epoch: backend.epoch,
        address: backend.address,
        backend: backend.id,
        format: format.flag(),
        since_ns_end: since_ns,
    };
    if let Err(end) = find_way(packet, tables, frame) {
        // What was chosen before is not to come back.
        tables.remove_tunnelled(&frame.datagram.tuple);
        return Err(end);
    }
    tables.put_tunnelled(&frame.datagram.tuple, &frame.tunnelled);
    // Who finds no room there has its flows go where their own hashes lead.
    let _pinned = affinity::pin(tables, frame);
    send::<F, P>(packet, frame)
}

/// The first packet of a flow that this node serves itself, or by a masquerade, though tunnels are
/// wanted: ingress goes on with it as with any other.
#[inline(always)]
pub(super) fn flow_of_this_node<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    _packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    let node = tables.node();
    begin(tables, frame, &node).map(|_begun| Reason::Continued)
}

/// Whether the packet gets to `frame.target` by a tunnel and fits; [`Reason::Continued`]: there is
/// none for it, and a masquerade may do.
#[inline(always)]
fn find_way<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<(), Reason> {
    let arrival = packet
        .arrival(frame.datagram.end)
        .ok_or(Reason::Continued)?;
    let way = (&mut frame.to, &mut frame.passage);
    let known = (&mut frame.uplink, &mut frame.path);
    let to = (&frame.target.address, &arrival);
    let is_early = packet.needs_station();
    let goes_on = is_under_way(&frame.datagram);
    let found = tunnel::find::<F, P, T>(packet, tables, to, way, known);
    if found == Err(Reason::NoWay) && (is_early || !goes_on) {
        return Err(Reason::Continued);
    }
    if !found? || is_early && !delivery::has_station(&frame.passage) {
        return Err(Reason::Continued);
    }
    let format = Format::of_flags(frame.tunnelled.format).ok_or(Reason::Continued)?;
    let length = delivery::length::<F, P>(packet, &frame.datagram, &arrival);
    let length = length.ok_or(Reason::Continued)?;
    frame.mtu = tunnel::mtu::<F>(&frame.passage, format);
    // Nobody can be told of an MTU that is too small for a link; what is under way may fit.
    if frame.mtu < F::LEAST_MTU && !goes_on {
        return Err(Reason::Continued);
    }
    if length > frame.mtu {
        // Who has not asked for an error will not listen to one; but associations do not move.
        let is_udp = frame.datagram.tuple.protocol == protocol::UDP;
        let may_be_told = !is_udp || !F::may_be_broken(packet)?;
        return Err(if may_be_told {
            Reason::TooLong
        } else {
            Reason::Continued
        });
    }
    Ok(())
}

#[inline(always)]
fn send<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    frame: &Frame<F::Address>,
) -> Result<Reason, Reason> {
    let format = Format::of_flags(frame.tunnelled.format).ok_or(Reason::Continued)?;
    let backend = F::narrow(frame.target.address);
    let to = (&backend, &frame.passage);
    tunnel::enter::<F, P>(packet, format, &frame.datagram.tuple, to)?;
    delivery::pass_on(packet, &frame.passage)?;
    Ok(Reason::Tunnelled)
}

/// An ICMP error that may be about a packet in a tunnel: keeps what it says of the way;
/// [`Reason::NotReply`]: it is none.
#[inline(always)]
pub(super) fn error_on_the_way<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    if !path_mtu::looks_so::<F>(frame) {
        return Err(Reason::NotReply);
    }
    let told = path_mtu::told::<F, P>(packet, frame)?;
    let told = told.ok_or(Reason::NotReply)?;
    frame.to = frame.datagram.tuple;
    related::give_up::<F>(frame);
    let is_told = admit::is_the_hosts::<F, P>(packet, frame, Side::Backend);
    if !is_told || admit::is_spoofed(packet, tables, frame, true)? {
        return Err(Reason::NotReply);
    }
    path_mtu::keep(tables, frame, told)?;
    Ok(Reason::Narrowed)
}

/// A packet that may be one in a tunnel to this node: takes it out; [`Reason::NotReply`]: it is
/// none, and as it was.
#[inline(always)]
pub(super) fn packet_in_tunnel<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    let room = tunnel::room_of::<F, P>(packet, frame).ok_or(Reason::NotReply)?;
    let (inner, number) = (&mut frame.to, &mut frame.datagram.identification);
    F::network(packet, NETWORK_AT + room.bytes, inner, number)
        .map_err(|_unread| Reason::NotReply)?;
    let dialled = frame.to.destination;
    // A pod may have tunnels of its own, to wherever it likes.
    if !service::is_address(tables, frame, dialled)? && !tables.is_node(&dialled) {
        return Err(Reason::NotReply);
    }
    // Nodes are behind uplinks. Others may be shown as one on their way, if they get there.
    let is_of_node = tables.is_node(&frame.datagram.tuple.source);
    if !is_of_node || !tables.is_uplink(frame.ifindex) {
        return Err(Reason::Stranger);
    }
    if is_for_another::<F, P, T>(packet, tables, frame) {
        return Err(Reason::NotReply);
    }
    packet.leave(room)?;
    Ok(Reason::Forwarded)
}

/// Whether a packet is only on its way through this node, to another one, as the routing table
/// says. Where that would send it somewhere else, its pod was here and has just gone.
#[inline(always)]
fn is_for_another<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &P,
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> bool {
    let route = &mut frame.passage.answered;
    delivery::ask::<F>(route, &frame.datagram.tuple, frame.ifindex, [0; 4], 1);
    let leads_on = packet.route(route) != Routed::Nowhere
        && route.family == F::NUMBER
        && tables.is_node(&F::narrow(route.destination));
    leads_on && tables.is_uplink(route.ifindex)
}

/// Sends what a packet out of a tunnel has become, as an answer, where routes lead: who has sent it
/// here is not who is to get it.
#[inline(always)]
pub(super) fn to_who_is_answered<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    frame: &mut Frame<F::Address>,
    end: Reason,
) -> Reason {
    let route = &mut frame.passage.answered;
    let answer = frame.datagram.tuple.turned();
    delivery::ask::<F>(route, &answer, frame.ifindex, [0; 4], 1);
    if packet.route(route) == Routed::Nowhere {
        return Reason::Unanswerable;
    }
    packet.answer_by_route(route);
    end
}

/// A packet that has been taken out of a tunnel: begins its flow where it is of none, so that
/// ingress goes on with it as with any.
#[inline(always)]
pub(super) fn packet_out_of_tunnel<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &mut P,
    tables: &mut T,
    frame: &mut Frame<F::Address>,
) -> Result<Reason, Reason> {
    // What has no ports follows what has some.
    if parse::<F, P>(packet, &mut frame.datagram).is_err() {
        return Ok(Reason::Continued);
    }
    let known = conntrack::find(tables, &frame.datagram.tuple, &mut frame.flow)?;
    let (now_ns, node) = (tables.about_now_ns(), tables.node());
    if let Some(known) = known
        && holds(tables, frame, known.stage, &node, now_ns)?
    {
        return Ok(Reason::Continued);
    }
    give_up(tables, frame, known.map(|known| known.stage), &node, now_ns)?;
    // Who sends it may have heard of a backend before this node has: then it comes again, and a
    // client that is refused does not.
    let is_served = is_served(tables, frame)?;
    if !is_served || frame.destination.slot_count == 0 && !is_under_way(&frame.datagram) {
        return Err(Reason::Astray);
    }
    if admit::is_spoofed(packet, tables, frame, true)? {
        return Err(Reason::Spoofed);
    }
    begin(tables, frame, &node).map(|_begun| Reason::Continued)
}

/// Looks for the Service that a packet out of a tunnel is for, by its entry for such.
#[inline(always)]
fn is_served<F: Own, T: Tables<F>>(
    tables: &T,
    frame: &mut Frame<F::Address>,
) -> Result<bool, Torn> {
    let tuple = &frame.datagram.tuple;
    frame.frontend = FrontendKey {
        address: tuple.destination,
        port: tuple.destination_port,
        protocol: tuple.protocol,
        scope: scope::TUNNEL,
    };
    if service::look(tables, frame)? {
        return Ok(true);
    }
    // By a port of the other node's.
    frame.frontend.address = F::narrow([0; 16]);
    service::look(tables, frame)
}
