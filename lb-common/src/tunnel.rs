// SPDX-License-Identifier: MIT OR Apache-2.0
//! Direct server return: who comes in by an uplink, and is given a backend of another node, has its
//! packets sent to that node as they are, inside others. There they are taken out and given to a
//! backend, which sees the client and answers it by itself, under the Service's address.
//!
//! The node where they come in needs to know no more of a flow than which backend it has chosen,
//! and where that is forgotten, or another node takes over, the choice is the same again as long as
//! the backends are. So it makes no flow, and it sends on what is in the middle of one: whoever
//! serves it knows what to say to that.
//!
//! | what | where it comes in | where it is served |
//! | --- | --- | --- |
//! | client → Service | node → backend, around it | client → backend, by a flow made there |
//! | backend → client | | Service → client, by that flow |
//!
//! The outer packet is for the backend, so it takes the way that the backend's packets take. What
//! comes out of it is for any backend of the Service on that node, as that node chooses: it knows
//! its own first. It believes what nodes of the cluster send alone.
//!
//! A datagram in fragments does not fit in, since what comes after the first one has no ports: it
//! goes by a masquerade ([`crate::masquerade`]), as everything does that finds no tunnel.

use crate::delivery::{self, Arrival, FRESH_NS, Memory, Routed, Way};
use crate::family::{NETWORK_AT, Own, WideAddress};
use crate::frame::Frame;
use crate::packet::{OutOfPacket, Packet, Room};
use crate::path_mtu;
use crate::tables::Tables;
use crate::verdict::Reason;
use crate::wire::{Passage, PathMtu, Service, Tuple, Uplink, fingerprint, protocol};

/// What ingress leaves to be done, in [`Frame::errand`].
pub mod errand {
    /// A packet for [`Frame::destination`](crate::frame::Frame::destination) may go into a tunnel.
    pub const ENTER: u8 = 0;
    /// Likewise an ICMP error, if what it quotes answers a flow that another node serves.
    pub const FOLLOW: u8 = 1;
    /// A packet may be one in a tunnel to this node.
    pub const LEAVE: u8 = 2;
    /// A segment from the middle of a connection may go on in a tunnel. Its Service has not been
    /// asked for: a connection outlives it, and who has been let in stays.
    pub const GO_ON: u8 = 3;
    /// An ICMP error may be about a packet of this node's in a tunnel.
    pub const HEED: u8 = 4;
}

/// How packets are put into others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As the payload of an IP packet: IPv4 in IPv4 (RFC 2003), IPv6 in IPv6 (RFC 2473).
    Ipip,
    /// As Geneve's, in UDP (RFC 8926), which more networks let pass, and spread over their ways.
    Geneve,
}

impl Format {
    /// The one that a Service asks for, if it does.
    #[inline(always)]
    pub const fn of_flags(flags: u32) -> Option<Self> {
        if flags & Service::IPIP != 0 {
            Some(Self::Ipip)
        } else if flags & Service::GENEVE != 0 {
            Some(Self::Geneve)
        } else {
            None
        }
    }

    /// The bit of a Service's flags that asks for it.
    #[inline(always)]
    pub const fn flag(self) -> u32 {
        match self {
            Self::Ipip => Service::IPIP,
            Self::Geneve => Service::GENEVE,
        }
    }

    /// What stands before the inner IP header.
    #[inline(always)]
    pub const fn room<F: Own>(self) -> Room {
        let (more, has_udp) = match self {
            Self::Ipip => (0, false),
            Self::Geneve => (GENEVE, true),
        };
        Room {
            bytes: F::HEADER.wrapping_add(more),
            ethertype: F::ETHERTYPE,
            has_udp,
        }
    }
}

/// UDP's header and Geneve's, without options.
const GENEVE: usize = 16;
/// Geneve's port (IANA).
const GENEVE_PORT: [u8; 2] = 6081_u16.to_be_bytes();
/// The virtual network that our packets are in, so that nobody else's are taken for ours.
const NETWORK: [u8; 3] = *b"wei";
/// The first of the ports that tunnels are dialled from: ephemeral ones (RFC 6335).
const FIRST_PORT: u16 = 49_152;

/// How a packet ends of which nothing else is known, and which has ended like that so far: one that
/// looks as if it were in a tunnel has an errand.
#[inline(always)]
pub fn met<F: Own>(frame: &mut Frame<F::Address>, end: Reason) -> Reason {
    let tuple = &frame.datagram.tuple;
    let looks_so = match end {
        Reason::OtherProtocol | Reason::NotService => {
            has_form::<F>(tuple.protocol, tuple.destination_port)
        }
        _ => false,
    };
    if looks_so && has_errand(frame, errand::LEAVE) {
        Reason::Untunnelled
    } else {
        end
    }
}

/// Whether a packet of a protocol to a port may be one in a tunnel.
#[inline(always)]
pub(crate) fn has_form<F: Own>(protocol: u8, port: [u8; 2]) -> bool {
    protocol == F::IN_IP || protocol == protocol::UDP && port == GENEVE_PORT
}

/// Gives a packet its errand, unless it is back from one.
#[inline(always)]
pub(crate) fn has_errand<A>(frame: &mut Frame<A>, errand: u8) -> bool {
    frame.errand = errand;
    frame.was_back == 0
}

/// Asks for the way to a backend's node, of a packet that has come like that: whether it leaves by
/// an uplink. Then `passage` says by which, whose address is the source of what it answers, and how
/// long a packet may be, there and on the way beyond. [`Reason::NoWay`]: no route leads there.
#[inline(always)]
pub fn find<F: Own, P: Packet + ?Sized, T: Tables<F>>(
    packet: &P,
    tables: &mut T,
    (backend, arrival): (&WideAddress, &Arrival),
    (tuple, passage): (&mut Tuple<F::Address>, &mut Passage),
    (uplink, path): (&mut Uplink, &mut PathMtu),
) -> Result<bool, Reason> {
    let to = F::narrow(*backend);
    F::set_addresses(tuple, to, to);
    tuple.set_ports([0; 2], [0; 2], F::IN_IP);
    // That a frame was sent to this node's station is found out once for all that were: it stands
    // where a source would. How long packets may be is what the answer says.
    let [s0, s1, s2, s3, s4, s5] = delivery::sent_to(packet).unwrap_or_default();
    let station = [s0, s1, s2, s3, s4, s5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let (by, ends) = ((arrival.ifindex, [0; 4]), (station, *backend));
    passage.asked.ask([F::NUMBER, F::IN_IP], 1, by, ends);
    let now_ns = tables.about_now_ns();
    let place = delivery::place::<F>(tuple, [0; 4]);
    let memory = delivery::recall(tables, place, passage, now_ns);
    if memory == Memory::Same {
        return Ok(true);
    }
    if packet.needs_station() && !delivery::is_sent_here(packet, tables, uplink) {
        return Ok(false);
    }
    let route = &mut passage.answered;
    route.set(&passage.asked);
    route.source = [0; 16];
    let routed = packet.route(route);
    if routed == Routed::Nowhere {
        // The table says the same of an address of this host's own.
        let is_node = tables.is_node(&F::narrow(*backend));
        return if is_node {
            Ok(false)
        } else {
            Err(Reason::NoWay)
        };
    }
    if tables.uplink(route.ifindex, uplink)?.is_none() {
        return Ok(false);
    }
    let Some(address) = uplink.address::<F>() else {
        return Ok(false);
    };
    // Nobody believes what comes from another address.
    if !tables.is_node(&F::narrow(address)) {
        return Ok(false);
    }
    route.source = address;
    passage.way = if routed == Routed::Onwards && uplink.takes_frames != 0 {
        Way::Station.number()
    } else {
        Way::Neighbour.number()
    };
    if routed != Routed::Onwards {
        // The kernel has not come to the MTU.
        route.length = u16::MAX;
    }
    let at_most = path_mtu::at_most(tables, &tuple.destination, path, now_ns)?;
    route.length = route.length.min(at_most);
    if routed == Routed::Onwards && memory == Memory::Nothing {
        passage.until_ns = now_ns.saturating_add(FRESH_NS);
        tables.remember(place, passage);
    }
    Ok(true)
}

/// The MTU for packets that are to go through the tunnel of `passage`.
#[inline(always)]
pub fn mtu<F: Own>(passage: &Passage, format: Format) -> u16 {
    let room = u16::try_from(format.room::<F>().bytes).unwrap_or(u16::MAX);
    passage.answered.length.saturating_sub(room)
}

/// Puts the packet into another one, from this node to a backend.
#[inline(always)]
pub fn enter<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    format: Format,
    flow: &Tuple<F::Address>,
    (backend, passage): (&F::Address, &Passage),
) -> Result<(), OutOfPacket> {
    // Whoever carries it on may see what kind of traffic it is, and is not to mark congestion where
    // nobody would read it (RFC 6040, section 4.1, compatibility mode).
    let class = F::load_hops(packet)?.class;
    let inner = F::load_length(packet)?;
    let [g0, g1, ..] = GENEVE.to_le_bytes();
    let in_udp = inner
        .checked_add(u16::from_le_bytes([g0, g1]))
        .ok_or(OutOfPacket)?;
    let source = F::narrow(passage.answered.source);
    packet.enter(format.room::<F>())?;
    match format {
        Format::Ipip => begin::<F, P>(packet, (&source, backend), F::IN_IP, inner, class),
        Format::Geneve => {
            begin::<F, P>(packet, (&source, backend), protocol::UDP, in_udp, class)?;
            let [.., p0, p1] = fingerprint(flow).to_be_bytes();
            let [p0, p1] = (u16::from_be_bytes([p0, p1]) | FIRST_PORT).to_be_bytes();
            let ([q0, q1], [l0, l1]) = (GENEVE_PORT, in_udp.to_be_bytes());
            let ([e0, e1], [n0, n1, n2]) = (F::ETHERTYPE.to_be_bytes(), NETWORK);
            // Without a checksum, which is over the other one's bytes: RFC 8926, section 3.3, and
            // RFC 6936 for IPv6.
            let header = [p0, p1, q0, q1, l0, l1, 0, 0, 0, 0, e0, e1, n0, n1, n2, 0];
            packet.store(F::TRANSPORT_AT, &header)
        }
    }
}

#[inline(always)]
fn begin<F: Own, P: Packet + ?Sized>(
    packet: &mut P,
    (source, destination): (&F::Address, &F::Address),
    protocol: u8,
    length: u16,
    class: [u8; 4],
) -> Result<(), OutOfPacket> {
    let header = F::header(source, destination, protocol, length);
    F::store_header(packet, NETWORK_AT, &F::with_class(header, class))
}

/// What is put before the packet's own IP header, if it is as one in a tunnel of ours.
#[inline(always)]
pub fn room_of<F: Own, P: Packet + ?Sized>(packet: &P, frame: &Frame<F::Address>) -> Option<Room> {
    let datagram = &frame.datagram;
    // Nodes of ours put nothing between the two.
    if datagram.transport_at != F::TRANSPORT_AT {
        return None;
    }
    if datagram.tuple.protocol == F::IN_IP {
        return Some(Format::Ipip.room::<F>());
    }
    let is_ours = is_geneve::<F, P>(packet, F::TRANSPORT_AT + 8).ok()?;
    is_ours.then_some(Format::Geneve.room::<F>())
}

/// Whether Geneve's header there is one of ours.
#[inline(always)]
pub(crate) fn is_geneve<F: Own, P: Packet + ?Sized>(
    packet: &P,
    at: usize,
) -> Result<bool, OutOfPacket> {
    let mut header = [0; 8];
    packet.load(at, &mut header)?;
    let ([e0, e1], [n0, n1, n2]) = (F::ETHERTYPE.to_be_bytes(), NETWORK);
    Ok(header == [0, 0, e0, e1, n0, n1, n2, 0])
}
