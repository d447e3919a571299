// SPDX-License-Identifier: MIT OR Apache-2.0
//! What XDP at an uplink sends on. On the host alone: a test run's packets have no way to go, so
//! the routing table is made up; what the kernel says is the node suite's.

use crate::play::cast;
use lb_common::{
    delivery::{Arrival, Routed, Way},
    frame::Frames,
    packet::{Buffer, OutOfPacket, Packet},
    pipeline, port,
    verdict::Reason,
    wire::{
        Route,
        protocol::{SCTP, TCP, UDP},
    },
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tests::{
    packet::{Frame, opening, tcp, udp},
    tables::Memory,
};

/// The uplink by which all comes, another one, and a pod's link.
const UPLINKS: [u32; 2] = [7, 8];
const EDGE: u32 = 9;
const NODE: [&str; 2] = ["192.0.2.10", "2001:db8::10"];
/// Whom a packet is sent to on the way, and by whom.
const STATIONS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 7], [2, 0, 0, 0, 0, 8]];
const HOPS: u8 = 64;

/// A packet that has come by the first uplink.
struct Passing<'a> {
    bytes: Buffer<'a>,
    /// The interface that backends are behind, and whether the next hop's station is known; clients
    /// are behind the first uplink.
    leaves_by: Option<u32>,
    is_resolved: bool,
    pod: IpAddr,
    sent: Option<(Way, u32)>,
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

    fn arrival(&self, _end: usize) -> Option<Arrival> {
        Some(Arrival {
            ifindex: self.bytes.ifindex(),
            length: self.bytes.bytes().len().try_into().ok()?,
            segment: 0,
        })
    }

    fn route(&self, question: &mut Route) -> Routed {
        let pod = match self.pod {
            IpAddr::V4(pod) => {
                let mut wide = [0; 16];
                wide[..4].copy_from_slice(&pod.octets());
                wide
            }
            IpAddr::V6(pod) => pod.octets(),
        };
        let Some(to_pod) = self.leaves_by else {
            return Routed::Nowhere;
        };
        question.ifindex = if question.destination == pod {
            to_pod
        } else {
            UPLINKS[0]
        };
        [question.to_station, question.from_station] = STATIONS;
        question.length = 1_500;
        if self.is_resolved {
            Routed::Onwards
        } else {
            Routed::Unresolved
        }
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
    node: IpAddr,
    leaves_by: Option<u32>,
    is_resolved: bool,
}

impl Row {
    fn both(protocol: u8) -> [Self; 2] {
        [(4, 0), (6, 1)].map(|(family, at)| {
            let cast = cast(family);
            let mut memory = Memory::default();
            memory.add_backend(1, cast.pods[0], protocol);
            memory.add_service(cast.service, protocol, &[1]);
            memory.node.direct_until_ns = u64::MAX;
            let addresses = NODE.map(|text| text.parse().expect("an address"));
            for uplink in UPLINKS {
                memory.add_uplink(uplink, addresses);
            }
            // By a port above the pod's, which is how the rows tell a client from a server.
            let is_high = |turn: &u64| {
                u16::from_be_bytes(port::shown(&memory.node, *turn, 0)) > cast.pods[0].port()
            };
            memory.turn = (0..1_000).find(is_high).expect("some are");
            Self {
                memory,
                client: cast.client,
                service: cast.service,
                pod: cast.pods[0],
                node: addresses[at],
                leaves_by: Some(UPLINKS[0]),
                is_resolved: true,
            }
        })
    }

    /// A packet comes: why it ends, where it was sent, and what it is then.
    fn comes(&mut self, frame: &Frame) -> (Reason, Option<(Way, u32)>, Vec<u8>) {
        let mut bytes = frame.clone().hops(HOPS).bytes();
        let length = bytes.len();
        bytes.resize(length + 64, 0);
        let mut packet = Passing {
            bytes: Buffer::new(&mut bytes, length).arriving_by(UPLINKS[0]),
            leaves_by: self.leaves_by,
            is_resolved: self.is_resolved,
            pod: self.pod.ip(),
            sent: None,
        };
        let end = pipeline::uplink(&mut packet, &mut self.memory, &mut Frames::new());
        (end, packet.sent, packet.bytes.bytes().to_vec())
    }

    /// It goes on as this frame, out of an interface.
    fn goes_on(&mut self, frame: &Frame, end: Reason, by: u32, becomes: Frame) {
        let mut expected = becomes.hops(HOPS - 1).bytes();
        expected[..12].copy_from_slice(STATIONS.as_flattened());
        let (ended, sent, bytes) = self.comes(frame);
        assert_eq!((ended, sent), (end, Some((Way::Station, by))));
        assert_eq!(bytes, expected);
    }

    /// It is left to TC as it is.
    fn stays(&mut self, frame: &Frame) {
        let (end, sent, bytes) = self.comes(frame);
        assert_eq!((end, sent), (Reason::Continued, None));
        assert_eq!(bytes, frame.clone().hops(HOPS).bytes());
    }

    /// The node's end of the only masquerade.
    fn shown(&self) -> SocketAddr {
        let Memory { v4, v6, .. } = &self.memory;
        let mut masks = v4.masks.values().chain(v6.masks.values());
        let mask = masks.find(|mask| mask.end == lb_common::wire::Mask::SOURCE);
        SocketAddr::new(
            self.node,
            u16::from_be_bytes(mask.expect("a masquerade").port),
        )
    }

    /// A SYN of the client's, which begins a flow.
    fn begin(&mut self, by: u32) -> SocketAddr {
        let syn = tcp(self.client, self.service).syn();
        // Which port it is shown by is only known afterwards.
        let (end, sent, bytes) = self.comes(&syn);
        assert_eq!((end, sent), (Reason::Relayed, Some((Way::Station, by))));
        let node = self.shown();
        let mut expected = tcp(node, self.pod).syn().hops(HOPS - 1).bytes();
        expected[..12].copy_from_slice(STATIONS.as_flattened());
        assert_eq!(bytes, expected);
        node
    }

    fn flows(&self) -> usize {
        let Memory { v4, v6, .. } = &self.memory;
        [
            v4.flows.half_open.flows.len(),
            v6.flows.half_open.flows.len(),
        ]
        .iter()
        .sum::<usize>()
            + v4.flows.established.flows.len()
            + v6.flows.established.flows.len()
    }
}

#[test]
fn both_ends_change_in_one_run() {
    for by in UPLINKS {
        for mut row in Row::both(TCP) {
            row.leaves_by = Some(by);
            let node = row.begin(by);
            let Row {
                client,
                service,
                pod,
                ..
            } = row;
            let back = UPLINKS[0];
            // Answers come by the uplink that they are routed back by.
            if by != back {
                row.stays(&tcp(pod, node).syn_ack());
                continue;
            }
            let syn_ack = tcp(service, client).syn_ack();
            row.goes_on(
                &tcp(pod, node).syn_ack(),
                Reason::RelayedBack,
                back,
                syn_ack,
            );
            for payload in [&b""[..], b"hello"] {
                let to_pod = tcp(node, pod).ack().payload(payload);
                let asked = tcp(client, service).ack().payload(payload);
                row.goes_on(&asked, Reason::Relayed, back, to_pod);
                let answered = tcp(pod, node).ack().payload(payload);
                let to_client = tcp(service, client).ack().payload(payload);
                row.goes_on(&answered, Reason::RelayedBack, back, to_client);
            }
        }
    }
}

#[test]
fn datagrams_and_sctp_go_on_as_well() {
    for protocol in [UDP, SCTP] {
        for mut row in Row::both(protocol) {
            let (client, service, pod) = (row.client, row.service, row.pod);
            let asked = opening(protocol, client, service);
            let (end, sent, _) = row.comes(&asked);
            assert_eq!(
                (end, sent),
                (Reason::Relayed, Some((Way::Station, UPLINKS[0])))
            );
            let node = row.shown();
            let answer = opening(protocol, pod, node);
            let to_client = opening(protocol, service, client);
            row.goes_on(&answer, Reason::RelayedBack, UPLINKS[0], to_client);
            row.goes_on(
                &asked,
                Reason::Relayed,
                UPLINKS[0],
                opening(protocol, node, pod),
            );
        }
    }
}

/// Each way of not being one that may go on.
#[test]
fn what_may_not_pass_the_stack_by_is_left_to_tc() {
    type Change = fn(&mut Row);
    let changes: [(&str, Change); 6] = [
        ("nobody has proved that it is harmless", |row| {
            row.memory.node.direct_until_ns = 0;
        }),
        ("a backend on this node", |row| row.leaves_by = Some(EDGE)),
        ("no way", |row| row.leaves_by = None),
        ("a next hop that is not known yet", |row| {
            row.is_resolved = false;
        }),
        ("an uplink that takes no frames", |row| {
            for uplink in row.memory.uplinks.values_mut() {
                uplink.takes_frames = 0;
            }
        }),
        ("another station's", |row| {
            for uplink in row.memory.uplinks.values_mut() {
                uplink.station = [2, 0, 0, 0, 0, 9];
            }
        }),
    ];
    for (what, change) in changes {
        for mut row in Row::both(TCP) {
            let node = row.begin(UPLINKS[0]);
            let (client, service, pod) = (row.client, row.service, row.pod);
            change(&mut row);
            // What the routing table has said is believed for a while.
            row.memory.now_ns += 100_000_000;
            eprintln!("{what}");
            row.stays(&tcp(client, service).ack());
            row.stays(&tcp(pod, node).syn_ack());
            row.stays(&tcp(SocketAddr::new(client.ip(), 7), service).syn());
        }
    }
    for mut row in Row::both(TCP) {
        let node = row.begin(UPLINKS[0]);
        let (client, service, pod) = (row.client, row.service, row.pod);
        // An end that nobody believes, which TC counts.
        row.stays(&tcp(client, service).rst().numbers(0x7000_0000, 0));
        row.stays(&tcp(pod, node).rst().numbers(0x7000_0000, 0));
        // What is none of ours.
        row.stays(&tcp(client, pod).syn());
        row.stays(&udp(client, service));
        row.stays(&udp(pod, node));
        // What the stack has to look at.
        row.stays(&tcp(client, service).ack().tagged(0x8100, 5));
        let pieces = udp(client, service).payload(&[7; 64]).pieces(32);
        row.stays(&pieces[0]);
        row.stays(&pieces[1]);
        // A flow that is over: the next packet may begin another one.
        row.memory.now_ns += row.memory.node.timeouts.half_open_ns;
        row.memory.now_ns += row.memory.node.timeouts.tombstone_ns;
        row.stays(&tcp(client, service).syn());
        row.stays(&tcp(pod, node).syn_ack());
    }
}

/// A flow's way is asked for once in a while; each kind of traffic has its own.
#[test]
fn a_flow_remembers_its_way() {
    for mut row in Row::both(TCP) {
        let node = row.begin(UPLINKS[0]);
        let asked = tcp(row.client, row.service).ack();
        let to_pod = tcp(node, row.pod).ack();
        row.leaves_by = None;
        row.goes_on(&asked, Reason::Relayed, UPLINKS[0], to_pod.clone());
        row.memory.now_ns += 100_000_000;
        row.stays(&asked);
        row.leaves_by = Some(UPLINKS[1]);
        row.goes_on(&asked, Reason::Relayed, UPLINKS[1], to_pod.clone());
        row.leaves_by = None;
        row.goes_on(&asked, Reason::Relayed, UPLINKS[1], to_pod);
        // A longer packet than the way takes.
        row.stays(&asked.payload(&[0; 1_500]));
    }
}

#[test]
fn who_cannot_be_shown_as_the_node_is_dropped_and_forgotten() {
    for mut row in Row::both(TCP) {
        let nowhere = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        row.memory.add_uplink(UPLINKS[0], [nowhere; 2]);
        let syn = tcp(row.client, row.service).syn();
        assert_eq!(row.comes(&syn).0, Reason::NoSource);
        assert_eq!(row.flows(), 0);
    }
}
