// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets that pass the host's stack by. On the host alone: a test run's packets have no way to
//! go, so the routing table is made up. What the kernel says is the node suite's.

use crate::play::cast;
use lb_common::{
    delivery::{Arrival, Routed, Way},
    frame::Frames,
    packet::{OutOfPacket, Packet},
    pipeline,
    verdict::Reason,
    wire::{Route, protocol::TCP},
};
use std::net::SocketAddr;
use tests::{
    packet::{Frame, tcp},
    tables::Memory,
};

/// The client's link, and the pod's.
const LINKS: [u32; 2] = [7, 8];
/// Whom a packet is sent to on the way, and by whom.
const STATIONS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
/// Hops that a packet begins with.
const HOPS: u8 = 64;

/// A packet that has come by a link and would leave by the other, where there is a way.
struct Passing {
    bytes: Vec<u8>,
    comes_by: u32,
    has_way: bool,
    sent: Option<(Way, u32)>,
}

impl Packet for Passing {
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket> {
        self.bytes[..].load(at, into)
    }

    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        self.bytes[..].store(at, bytes)
    }

    fn blank(&mut self, length: usize) -> Result<(), OutOfPacket> {
        self.bytes[..].blank(length)
    }

    fn arrival(&self, _end: usize) -> Option<Arrival> {
        Some(Arrival {
            ifindex: self.comes_by,
            length: self.bytes.len().try_into().ok()?,
            segment: 0,
        })
    }

    /// Asked of the packet's own ends: they are behind the link that it goes to. Of the same ends
    /// turned: behind the one that it came by.
    fn route(&self, question: &mut Route) -> Routed {
        if !self.has_way {
            return Routed::Nowhere;
        }
        let is_back = question.length == 1;
        let [client, pod] = LINKS;
        let onwards = if self.comes_by == client { pod } else { client };
        question.ifindex = if is_back { self.comes_by } else { onwards };
        [question.to_station, question.from_station] = STATIONS;
        question.length = 1_500;
        Routed::Onwards
    }

    fn send(&mut self, way: Way, route: &Route) {
        self.sent = Some((way, route.ifindex));
    }
}

/// Tables of a family with a Service of one backend, whose packets may pass the stack by.
struct Row {
    memory: Memory,
    client: SocketAddr,
    service: SocketAddr,
    pod: SocketAddr,
}

impl Row {
    fn both() -> [Self; 2] {
        [4, 6].map(|family| {
            let cast = cast(family);
            let mut memory = Memory::default();
            memory.add_backend(1, cast.pods[0], TCP);
            memory.add_service(cast.service, TCP, &[1]);
            memory.node.direct_until_ns = u64::MAX;
            memory.pod_links.extend(LINKS);
            Self {
                memory,
                client: cast.client,
                service: cast.service,
                pod: cast.pods[0],
            }
        })
    }

    fn request(&self) -> Frame {
        tcp(self.client, self.service)
    }

    fn answer(&self) -> Frame {
        tcp(self.pod, self.client)
    }

    /// A packet comes by one of the links.
    fn comes(&mut self, frame: &Frame, link: usize, has_way: bool) -> (Reason, Passing) {
        let mut packet = Passing {
            bytes: frame.clone().hops(HOPS).bytes(),
            comes_by: LINKS[link],
            has_way,
            sent: None,
        };
        let end = pipeline::ingress(&mut packet, &mut self.memory, &mut Frames::new());
        (end, packet)
    }

    /// It is sent on past the stack, as this frame.
    fn passes(&mut self, frame: &Frame, link: usize, end: Reason, becomes: Frame) {
        let (ended, packet) = self.comes(frame, link, true);
        let mut expected = becomes.hops(HOPS - 1).bytes();
        expected[..12].copy_from_slice(STATIONS.as_flattened());
        assert_eq!(
            (ended, packet.sent),
            (end, Some((Way::Pod, LINKS[1 - link])))
        );
        assert_eq!(packet.bytes, expected);
    }

    /// It is left to the stack as it is.
    fn stays(&mut self, frame: &Frame, link: usize, has_way: bool) {
        let (ended, packet) = self.comes(frame, link, has_way);
        assert_eq!((ended, packet.sent), (Reason::NotService, None));
        assert_eq!(packet.bytes, frame.clone().hops(HOPS).bytes());
    }

    fn open(&mut self) {
        let (syn, to_pod) = (self.request().syn(), tcp(self.client, self.pod).syn());
        self.passes(&syn, 0, Reason::ForwardedDirectly, to_pod);
        let from_service = tcp(self.service, self.client).syn_ack();
        let syn_ack = self.answer().syn_ack();
        self.passes(&syn_ack, 1, Reason::RepliedDirectly, from_service);
        let (ack, to_pod) = (self.request().ack(), tcp(self.client, self.pod).ack());
        self.passes(&ack, 0, Reason::ForwardedDirectly, to_pod);
    }
}

#[test]
fn both_directions_pass_the_stack_by() {
    for mut row in Row::both() {
        row.open();
        let from_service = tcp(row.service, row.client).ack().payload(b"again");
        let data = row.answer().ack().payload(b"again");
        row.passes(&data, 1, Reason::RepliedDirectly, from_service);
    }
}

#[test]
fn what_has_no_other_way_is_the_stacks() {
    for mut row in Row::both() {
        let syn = row.request().syn();
        let (end, packet) = row.comes(&syn, 0, false);
        assert_eq!((end, packet.sent), (Reason::Forwarded, None));
        // The answer is translated where it leaves.
        row.stays(&row.answer().syn_ack(), 1, false);
        row.memory.node.direct_until_ns = 0;
        row.stays(&row.answer().syn_ack(), 1, true);
    }
}

#[test]
fn answers_in_doubt_are_left_to_where_they_leave() {
    for mut row in Row::both() {
        row.open();
        // An end that nobody believes.
        let forged = row.answer().rst().numbers(0x7000_0000, 0);
        row.stays(&forged, 1, true);
        // A flow that is over.
        row.memory.now_ns += row.memory.node.timeouts.established_ns;
        row.memory.now_ns += row.memory.node.timeouts.tombstone_ns;
        row.stays(&row.answer().ack(), 1, true);
    }
    for mut row in Row::both() {
        let syn = row.request().syn();
        row.comes(&syn, 0, true);
        // A segment of another connection, which the SYN has met: not the flow's.
        row.comes(&row.answer().ack().numbers(5, 0x7000_0000), 1, false);
        row.stays(&row.answer().ack().numbers(5, 0x7000_0000), 1, true);
    }
}
