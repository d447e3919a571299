// SPDX-License-Identifier: MIT OR Apache-2.0
//! How masquerades begin. On the host alone: a test run's packets have no way to go, so the routing
//! table is made up. What the kernel says is the node suite's.

use crate::play::cast;
use lb_common::{
    delivery::Routed,
    frame::Frames,
    packet::{Buffer, OutOfPacket, Packet},
    pipeline,
    port::{self, SHOWN_ATTEMPTS},
    verdict::Reason,
    wire::{Expiry, Mask, Route, SocketEnds, protocol::TCP},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use tests::{
    packet::{Frame, tcp},
    tables::{Flows, Memory},
};
use zerocopy::FromZeros as _;

/// An uplink, and another one.
const UPLINKS: [u32; 2] = [7, 8];
/// A pod's link.
const EDGE: u32 = 9;

const NODE: [&str; 2] = ["192.0.2.10", "2001:db8::10"];

/// A packet that comes in by an interface, and would leave by one.
struct Passing<'a> {
    bytes: Buffer<'a>,
    leaves_by: Option<u32>,
    /// A port of the host's that a socket has.
    socket: u16,
}

impl Packet for Passing<'_> {
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket> {
        self.bytes.load(at, into)
    }

    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        self.bytes.store(at, bytes)
    }

    fn blank(&mut self, length: usize) -> Result<(), OutOfPacket> {
        self.bytes.blank(length)
    }

    fn ifindex(&self) -> u32 {
        self.bytes.ifindex()
    }

    fn has_socket<A>(&self, _protocol: u8, ends: &SocketEnds<A>) -> bool {
        u16::from_be_bytes(ends.destination_port) == self.socket
    }

    fn route(&self, question: &mut Route) -> Routed {
        let Some(ifindex) = self.leaves_by else {
            return Routed::Nowhere;
        };
        question.ifindex = ifindex;
        // The next hop is asked for while the packet waits.
        Routed::Unresolved
    }
}

/// Tables of a family with a Service of one backend.
struct Row {
    memory: Memory,
    client: SocketAddr,
    service: SocketAddr,
    pod: SocketAddr,
    node: IpAddr,
    socket: u16,
}

impl Row {
    fn both() -> [Self; 2] {
        [(4, 0), (6, 1)].map(|(family, at)| {
            let cast = cast(family);
            let mut memory = Memory::default();
            memory.add_backend(1, cast.pods[0], TCP);
            memory.add_service(cast.service, TCP, &[1]);
            let addresses = NODE.map(|text| text.parse().expect("an address"));
            for uplink in UPLINKS {
                memory.add_uplink(uplink, addresses);
            }
            Self {
                memory,
                client: cast.client,
                service: cast.service,
                pod: cast.pods[0],
                node: addresses[at],
                socket: 0,
            }
        })
    }

    /// A SYN of a client's comes by one interface, to leave by another.
    fn dial(&mut self, client: SocketAddr, comes_by: u32, leaves_by: Option<u32>) -> Reason {
        let frame: Frame = tcp(client, self.service).syn();
        let mut bytes = frame.bytes();
        let length = bytes.len();
        let mut packet = Passing {
            bytes: Buffer::new(&mut bytes, length).arriving_by(comes_by),
            leaves_by,
            socket: self.socket,
        };
        pipeline::ingress(&mut packet, &mut self.memory, &mut Frames::new())
    }

    fn masks(&self) -> Vec<Mask> {
        let Memory { v4, v6, .. } = &self.memory;
        v4.masks
            .values()
            .chain(v6.masks.values())
            .copied()
            .collect()
    }

    /// Ports by which the backend sees clients.
    fn ports(&self) -> BTreeSet<u16> {
        let masks = self.masks().into_iter();
        let shown = masks.filter(|mask| mask.end == Mask::SOURCE);
        shown.map(|mask| u16::from_be_bytes(mask.port)).collect()
    }

    /// A client's SYN is dropped, and nothing is left of it.
    fn is_refused(&mut self, reason: Reason) {
        let ([uplink, _], client) = (UPLINKS, self.client);
        let masks = self.masks().len();
        assert_eq!(self.dial(client, uplink, Some(uplink)), reason);
        assert_eq!((self.half_open(), self.masks().len()), (0, masks));
    }

    /// The next ports that are proposed, in their order.
    fn next_ports(&self) -> Vec<u16> {
        let Memory { node, turn, .. } = &self.memory;
        let ports = (0..SHOWN_ATTEMPTS).map(|attempt| port::shown(node, *turn, attempt));
        ports.map(u16::from_be_bytes).collect()
    }

    /// Somebody else is shown to the backend by a port of the node's.
    fn take(&mut self, port: u16) {
        let (other, node) = (nth(self.client, port), SocketAddr::new(self.node, port));
        self.memory.add_masquerade(other, self.pod, node, TCP);
    }

    fn half_open(&self) -> usize {
        let Memory { v4, v6, .. } = &self.memory;
        v4.flows.half_open.flows.len() + v6.flows.half_open.flows.len()
    }

    /// Who a client's packet comes from where it leaves for the backend.
    fn seen(&mut self, client: SocketAddr) -> (Reason, Vec<u8>) {
        let mut bytes = tcp(client, self.pod).syn().bytes();
        let end = pipeline::egress(&mut bytes[..], &mut self.memory, &mut Frames::new());
        (end, bytes)
    }
}

fn nth(client: SocketAddr, number: u16) -> SocketAddr {
    SocketAddr::new(client.ip(), number)
}

#[test]
fn who_comes_and_goes_by_uplinks_is_shown_as_the_node() {
    let [one, other] = UPLINKS;
    for (comes_by, leaves_by, is_shown) in [
        (one, Some(one), true),
        (one, Some(other), true),
        (one, Some(EDGE), false),
        // The backend is this host itself.
        (one, None, false),
        (EDGE, Some(one), false),
    ] {
        for mut row in Row::both() {
            let client = row.client;
            assert_eq!(row.dial(client, comes_by, leaves_by), Reason::Forwarded);
            let count = row.masks().len();
            assert_eq!(
                count,
                if is_shown { 2 } else { 0 },
                "{comes_by} {leaves_by:?}"
            );
            let Some(port) = row.ports().first().copied() else {
                assert_eq!(row.seen(client).0, Reason::NotReply);
                continue;
            };
            let node = SocketAddr::new(row.node, port);
            let expected = tcp(node, row.pod).syn().bytes();
            assert_eq!(row.seen(client), (Reason::Masqueraded, expected));
        }
    }
}

#[test]
fn no_two_clients_are_shown_alike() {
    for mut row in Row::both() {
        let [uplink, _] = UPLINKS;
        // To one backend, as many as there are clients' ports, but for the last few.
        for number in 1..=60_000 {
            let client = nth(row.client, number);
            assert_eq!(row.dial(client, uplink, Some(uplink)), Reason::Forwarded);
        }
        let ports = row.ports();
        assert_eq!((ports.len(), row.masks().len()), (60_000, 120_000));
        assert!(ports.first() >= Some(&1_024));
    }
}

#[test]
fn who_cannot_be_shown_as_the_node_is_dropped() {
    let [uplink, _] = UPLINKS;
    for mut row in Row::both() {
        for port in row.next_ports() {
            row.take(port);
        }
        row.is_refused(Reason::NoSource);
    }
    for mut row in Row::both() {
        let nowhere = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        row.memory.add_uplink(uplink, [nowhere; 2]);
        row.is_refused(Reason::NoSource);
    }
    for mut row in Row::both() {
        row.memory.mask_capacity = 0;
        row.is_refused(Reason::FlowTableFull);
    }
}

#[test]
fn a_port_that_somebody_has_is_no_source() {
    let [uplink, _] = UPLINKS;
    for mut row in Row::both() {
        let ports = row.next_ports();
        // One is a Service's, one a socket's, and one another client's.
        row.memory
            .add_service(SocketAddr::new(row.node, ports[0]), TCP, &[1]);
        row.socket = ports[1];
        row.take(ports[2]);
        let (client, before) = (row.client, row.ports());
        assert_eq!(row.dial(client, uplink, Some(uplink)), Reason::Forwarded);
        let chosen: Vec<u16> = row.ports().difference(&before).copied().collect();
        assert_eq!(chosen, [ports[3]]);
    }
}

#[test]
fn a_flow_of_the_same_ends_takes_a_masquerade_over() {
    let [uplink, _] = UPLINKS;
    for mut row in Row::both() {
        let client = row.client;
        row.dial(client, uplink, Some(uplink));
        let before = row.masks();
        // Its flow has been evicted.
        row.memory.v4.flows = Flows::default();
        row.memory.v6.flows = Flows::default();
        row.memory.now_ns += 1;
        assert_eq!(row.dial(client, uplink, Some(uplink)), Reason::Forwarded);
        assert_eq!(row.masks(), before);
        // The node has got another address.
        row.memory.v4.flows = Flows::default();
        row.memory.v6.flows = Flows::default();
        let addresses = ["192.0.2.11", "2001:db8::11"].map(|text| text.parse().expect("one"));
        row.memory.add_uplink(uplink, addresses);
        assert_eq!(row.dial(client, uplink, Some(uplink)), Reason::Forwarded);
        let after = row.masks();
        assert_eq!(after.len(), 2);
        assert_ne!(after, before);
    }
}

/// The queue of a family, of any flows.
fn queued(memory: &Memory) -> usize {
    memory.v4.expiries.len() + memory.v6.expiries.len()
}

#[test]
fn without_a_place_in_the_queue_nobody_is_shown_as_the_node() {
    for mut row in Row::both() {
        row.memory.flow_capacity = 0;
        row.memory.affinity_capacity = 0;
        row.memory.mask_capacity = 2;
        // Entries that are left of others.
        row.memory.v4.expiries.extend([Expiry::new_zeroed(); 2]);
        row.memory.v6.expiries.extend([Expiry::new_zeroed(); 2]);
        row.is_refused(Reason::FlowTableFull);
    }
}

#[test]
fn the_sweep_tells_what_is_gone_from_what_cannot_be_read() {
    let [uplink, _] = UPLINKS;
    for mut row in Row::both() {
        let client = row.client;
        assert_eq!(row.dial(client, uplink, Some(uplink)), Reason::Forwarded);
        let Memory { v4, v6, .. } = &mut row.memory;
        let masks = v4.masks.values_mut().chain(v6.masks.values_mut());
        for mask in masks {
            mask.identity ^= 1;
        }
        row.memory.sweep();
        assert_eq!((row.masks().len(), queued(&row.memory)), (2, 1));
        row.memory.v4.masks.clear();
        row.memory.v6.masks.clear();
        row.memory.sweep();
        assert_eq!(queued(&row.memory), 0);
    }
}
