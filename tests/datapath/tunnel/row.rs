// SPDX-License-Identifier: MIT OR Apache-2.0
//! One node, a packet that comes by its uplink, and what becomes of it.

use crate::play::{Cast, cast};
use etherparse::Ipv4HeaderSlice;
use lb_common::{
    delivery::{Arrival, Routed, Way},
    family::{Family as _, Own as _, V4, V6},
    frame::Frames,
    packet::{OutOfPacket, Packet, Room},
    pipeline,
    tunnel::Format,
    verdict::Reason,
    wire::Route,
};
use std::net::{IpAddr, SocketAddr};
use tests::{
    packet::{other, udp},
    tables::Memory,
};

pub(super) const UPLINK: u32 = 7;
/// An interface that leads to a pod of this node.
pub(super) const POD: u32 = 9;
pub(super) const NODES: [[&str; 2]; 2] = [
    ["192.0.2.10", "2001:db8::10"],
    ["192.0.2.11", "2001:db8::11"],
];
/// Whom a packet is sent to on the way, and by whom.
pub(super) const STATIONS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 7], [2, 0, 0, 0, 0, 8]];
pub(super) const MTU: u16 = 1_500;

/// A packet that has come by the uplink.
struct Passing {
    bytes: Vec<u8>,
    /// Payload of each of its segments.
    segment: u32,
    road: Road,
    /// The node's own address.
    host: IpAddr,
    is_early: bool,
    sent: Option<(Way, u32)>,
    /// Whom it answers, and by which interface.
    answers: Option<(IpAddr, u32)>,
}

/// What the routing table says, whatever it is asked.
#[derive(Clone, Copy)]
pub(super) struct Road {
    pub(super) routed: Routed,
    /// The interface that whatever is asked for is behind.
    pub(super) leaves_by: u32,
    pub(super) mtu: u16,
    /// The next hop; none: what is asked for itself.
    pub(super) next: Option<IpAddr>,
}

impl Packet for Passing {
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket> {
        self.bytes.as_slice().load(at, into)
    }

    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        self.bytes.as_mut_slice().store(at, bytes)
    }

    fn blank(&mut self, length: usize) -> Result<(), OutOfPacket> {
        self.bytes = vec![0xa5; length];
        Ok(())
    }

    fn ifindex(&self) -> u32 {
        UPLINK
    }

    fn arrival(&self, _end: usize) -> Option<Arrival> {
        Some(Arrival {
            ifindex: UPLINK,
            length: self.bytes.len().try_into().ok()?,
            segment: self.segment,
        })
    }

    fn route(&self, question: &mut Route) -> Routed {
        question.ifindex = self.road.leaves_by;
        [question.to_station, question.from_station] = STATIONS;
        question.length = self.road.mtu;
        if let Some(next) = self.road.next {
            question.destination = match next {
                IpAddr::V4(address) => V4::widen(address.octets()),
                IpAddr::V6(address) => V6::widen(address.octets()),
            };
        }
        self.road.routed
    }

    fn send(&mut self, way: Way, route: &Route) {
        self.sent = Some((way, route.ifindex));
    }

    fn is_for_host(&self, family: u8, _source: &[u8; 16], destination: &[u8; 16]) -> bool {
        address(family, *destination) == self.host
    }

    fn needs_station(&self) -> bool {
        self.is_early
    }

    fn enter(&mut self, room: Room) -> Result<(), OutOfPacket> {
        let new = std::iter::repeat_n(0xa5, room.bytes);
        self.bytes.splice(14..14, new);
        Ok(())
    }

    fn leave(&mut self, room: Room) -> Result<(), OutOfPacket> {
        self.bytes.drain(14..14 + room.bytes);
        Ok(())
    }

    fn answer_by_route(&mut self, route: &Route) {
        let to = address(route.family, route.destination);
        self.answers = Some((to, route.ifindex));
    }
}

fn address(family: u8, address: [u8; 16]) -> IpAddr {
    match family {
        V4::NUMBER => V4::narrow(address).into(),
        _ => V6::narrow(address).into(),
    }
}

/// What has become of a packet.
pub(super) struct End {
    pub(super) reason: Reason,
    pub(super) sent: Option<(Way, u32)>,
    pub(super) bytes: Vec<u8>,
    pub(super) answers: Option<(IpAddr, u32)>,
}

/// One node with a Service of one backend.
pub(super) struct Row {
    pub(super) memory: Memory,
    pub(super) cast: Cast,
    /// The address of this node, and of another one.
    pub(super) nodes: [IpAddr; 2],
    pub(super) road: Road,
    pub(super) segment: u32,
}

impl Row {
    /// The node by which clients come in, whose backend is another one's.
    pub(super) fn entering(protocol: u8, format: Format) -> [Self; 2] {
        Self::both(protocol, |memory, cast| {
            memory.add_tunnelled(cast.service, protocol, &[1], format);
        })
    }

    /// The node whose backend it is.
    pub(super) fn serving(protocol: u8) -> [Self; 2] {
        Self::both(protocol, |memory, cast| {
            memory.add_out_of_tunnel(cast.service, protocol, &[1]);
        })
        .map(|mut row| {
            row.memory.node.direct_until_ns = 0;
            row.road.leaves_by = POD;
            row
        })
    }

    fn both(protocol: u8, serve: impl Fn(&mut Memory, &Cast)) -> [Self; 2] {
        [(4, 0), (6, 1)].map(|(family, at)| {
            let cast = cast(family);
            let mut memory = Memory::default();
            memory.add_backend(1, cast.pods[0], protocol);
            serve(&mut memory, &cast);
            memory.node.direct_until_ns = u64::MAX;
            let [ours, theirs] = NODES.map(|node| node.map(|text| text.parse().expect("a row's")));
            memory.add_uplink(UPLINK, ours);
            for address in ours.into_iter().chain(theirs) {
                memory.add_node(address);
            }
            Self {
                memory,
                cast,
                nodes: [ours[at], theirs[at]],
                road: Road {
                    routed: Routed::Onwards,
                    leaves_by: UPLINK,
                    mtu: MTU,
                    next: None,
                },
                segment: 0,
            }
        })
    }

    fn passing(&self, bytes: Vec<u8>, is_early: bool) -> Passing {
        Passing {
            bytes,
            segment: self.segment,
            road: self.road,
            host: self.nodes[0],
            is_early,
            sent: None,
            answers: None,
        }
    }

    /// A packet comes to TC.
    pub(super) fn comes(&mut self, bytes: Vec<u8>) -> End {
        let mut packet = self.passing(bytes, false);
        let mut frames = Frames::new();
        let reason = pipeline::ingress_and_more(&mut packet, &mut self.memory, &mut frames);
        End::of(reason, packet)
    }

    /// A packet comes to XDP.
    pub(super) fn comes_early(&mut self, bytes: Vec<u8>) -> End {
        let mut packet = self.passing(bytes, true);
        let reason = pipeline::uplink(&mut packet, &mut self.memory, &mut Frames::new());
        End::of(reason, packet)
    }

    /// A packet comes to one of the two.
    pub(super) fn comes_to(&mut self, is_early: bool, bytes: Vec<u8>) -> End {
        if is_early {
            self.comes_early(bytes)
        } else {
            self.comes(bytes)
        }
    }

    /// What a frame is in a tunnel from an address to the backend, by a port that is not for us to
    /// say.
    pub(super) fn wrapped(&self, from: IpAddr, inner: &[u8], format: Format, port: u16) -> Vec<u8> {
        in_tunnel([from, self.cast.pods[0].ip()], inner, format, port)
    }
}

/// What a frame is in a tunnel from one address to another.
pub(super) fn in_tunnel(
    [from, to]: [IpAddr; 2],
    inner: &[u8],
    format: Format,
    port: u16,
) -> Vec<u8> {
    let (number, ethertype) = if to.is_ipv4() {
        (4, [8, 0])
    } else {
        (41, [0x86, 0xdd])
    };
    let frame = match format {
        Format::Ipip => other(number, from, to).payload(&inner[14..]),
        Format::Geneve => {
            let (from, to) = (SocketAddr::new(from, port), SocketAddr::new(to, 6_081));
            let payload = [&[0, 0][..], &ethertype, b"wei", &[0], &inner[14..]].concat();
            udp(from, to).no_checksum().payload(&payload)
        }
    };
    as_own(frame.bytes())
}

/// A packet with an IP header as of this node's own: never fragmented, and of no flow by its label.
fn as_own(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes[12..14] != [8, 0] {
        bytes[14..18].copy_from_slice(&[0x60, 0, 0, 0]);
        return bytes;
    }
    bytes[18..22].copy_from_slice(&[0, 0, 0x40, 0]);
    let header = Ipv4HeaderSlice::from_slice(&bytes[14..])
        .expect("a header")
        .to_header();
    bytes[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
    bytes
}

impl End {
    fn of(reason: Reason, packet: Passing) -> Self {
        Self {
            reason,
            sent: packet.sent,
            bytes: packet.bytes,
            answers: packet.answers,
        }
    }

    /// The port that a Geneve packet was sent from.
    pub(super) fn port(&self) -> u16 {
        let at = if self.bytes[12..14] == [8, 0] { 34 } else { 54 };
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }
}
