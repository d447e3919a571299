// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links between two nodes that are narrower than those at the nodes: a router tells the first
//! node, and that one whoever sends.

use super::{
    FORMATS,
    row::{End, MTU, Row},
};
use crate::play::Cast;
use lb_common::{
    tunnel::Format,
    verdict::Reason,
    wire::protocol::{TCP, UDP},
};
use std::net::{IpAddr, SocketAddr};
use tests::packet::{Frame, icmp, tcp, udp};

/// A router's address, of each family.
const ROUTER: [&str; 2] = ["192.0.2.77", "2001:db8::77"];
/// A second.
const SECOND_NS: u64 = 1_000_000_000;

/// What a router says about a packet, of which it quotes so many bytes.
fn too_long(to: IpAddr, packet: &[u8], mtu: u32, quoted: usize) -> Frame {
    let is_narrow = to.is_ipv4();
    let kind = if is_narrow { [3, 4] } else { [2, 0] };
    let router = ROUTER[usize::from(!is_narrow)];
    let router = router.parse().expect("a row's");
    let packet = &packet[14..];
    icmp(kind, router, to)
        .icmp_rest(mtu.to_be_bytes())
        .payload(&packet[..quoted.min(packet.len())])
}

/// The MTU that an answer tells.
fn told(end: &End) -> u32 {
    let at = if end.bytes[12..14] == [8, 0] { 34 } else { 54 };
    u32::from_be_bytes(end.bytes[at + 4..at + 8].try_into().expect("four bytes"))
}

/// A segment that fills a tunnel of the node's own link.
fn full(row: &Row, format: Format) -> (Vec<u8>, u32) {
    let Cast {
        client, service, ..
    } = row.cast;
    let (room, headers) = match (format, client.is_ipv4()) {
        (Format::Ipip, true) => (20, 40),
        (Format::Ipip, false) => (40, 60),
        (Format::Geneve, true) => (36, 40),
        (Format::Geneve, false) => (56, 60),
    };
    let payload = vec![1; usize::from(MTU) - room - headers];
    let segment = tcp(client, service).ack().payload(&payload);
    (segment.bytes(), u32::try_from(room).expect("a row's"))
}

#[test]
fn senders_learn_what_a_router_says() {
    for format in FORMATS {
        // All that a router may quote, and the least that it has to.
        for quoted in [548, 28] {
            for mut row in Row::entering(TCP, format) {
                let (segment, room) = full(&row, format);
                let quoted = if row.nodes[0].is_ipv4() {
                    quoted
                } else {
                    quoted + 20
                };
                let outer = row.comes(segment.clone());
                assert_eq!(outer.reason, Reason::Tunnelled);
                let error = too_long(row.nodes[0], &outer.bytes, 1_400, quoted).bytes();
                assert_eq!(row.comes_early(error.clone()).reason, Reason::Continued);
                let end = row.comes(error.clone());
                assert_eq!((end.reason, end.bytes), (Reason::Narrowed, error));
                row.memory.now_ns += SECOND_NS;
                for is_early in [false, true] {
                    let end = row.comes_to(is_early, segment.clone());
                    assert_eq!(end.reason, Reason::TooLong);
                    assert_eq!(told(&end), 1_400 - room);
                }
                // What says more changes nothing, and keeps nothing for longer.
                row.memory.now_ns += 500 * SECOND_NS;
                let wider = too_long(row.nodes[0], &outer.bytes, 1_450, quoted).bytes();
                assert_eq!(row.comes(wider).reason, Reason::Narrowed);
                row.memory.now_ns += 90 * SECOND_NS;
                assert_eq!(told(&row.comes(segment.clone())), 1_400 - room);
                row.memory.now_ns += 10 * SECOND_NS;
                assert_eq!(row.comes(segment).reason, Reason::Tunnelled);
            }
        }
    }
}

/// Who forges makes packets no shorter than routers of today.
#[test]
fn nobody_is_believed_to_have_no_room() {
    for mut row in Row::entering(TCP, Format::Ipip) {
        let (segment, room) = full(&row, Format::Ipip);
        let outer = row.comes(segment.clone());
        for mtu in [0, 68] {
            let error = too_long(row.nodes[0], &outer.bytes, mtu, 548).bytes();
            assert_eq!(row.comes(error).reason, Reason::Narrowed);
        }
        row.memory.now_ns += SECOND_NS;
        let least = if row.nodes[0].is_ipv4() { 612 } else { 1_336 };
        let end = row.comes(segment);
        assert_eq!((end.reason, told(&end)), (Reason::TooLong, least - room));
    }
}

#[test]
fn other_errors_are_the_hosts() {
    for format in FORMATS {
        for mut row in Row::entering(TCP, format) {
            let Cast { client, pods, .. } = row.cast;
            let (segment, _) = full(&row, format);
            let outer = row.comes(segment.clone()).bytes;
            let [node, other] = row.nodes;
            let is_narrow = node.is_ipv4();
            let unreachable = if is_narrow { [3, 1] } else { [1, 0] };
            let own = udp((node, 50_000).into(), (pods[0].ip(), 53).into());
            let mut errors = vec![
                // Of another kind.
                icmp(unreachable, client.ip(), node).payload(&outer[14..14 + 60]),
                // About no tunnel.
                too_long(node, &own.bytes(), 1_400, 548),
                // To somebody else than who has sent what it quotes.
                too_long(node, &from(&outer, other), 1_400, 548),
                // About another node's, as the router says it by this one.
                too_long(other, &from(&outer, other), 1_400, 548),
            ];
            if format == Format::Geneve {
                // Of somebody else's network.
                let network_at = if is_narrow {
                    14 + 20 + 8 + 4
                } else {
                    14 + 40 + 8 + 4
                };
                let mut others = outer.clone();
                others[network_at] ^= 1;
                errors.push(too_long(node, &others, 1_400, 548));
            }
            for error in errors {
                let end = row.comes(error.bytes());
                assert_eq!((end.reason, end.bytes), (Reason::NotRelated, error.bytes()));
            }
            let cut_off = too_long(node, &outer, 1_400, 12).bytes();
            assert_eq!(row.comes(cut_off).reason, Reason::Malformed);
            // By a link that leads into a pod.
            row.memory.uplinks.clear();
            let error = too_long(node, &outer, 1_400, 548).bytes();
            assert_eq!(row.comes(error).reason, Reason::NotRelated);
            assert!(row.memory.v4.paths.is_empty() && row.memory.v6.paths.is_empty());
        }
    }
}

/// Nobody outside has the address of a Service.
#[test]
fn no_service_is_a_router() {
    for mut row in Row::entering(TCP, Format::Ipip) {
        let service = row.cast.service.ip();
        let (segment, _) = full(&row, Format::Ipip);
        let outer = row.comes(segment).bytes;
        row.memory.add_address(service);
        let error = too_long(row.nodes[0], &outer, 1_400, 548).bytes();
        let forged = from(&error, service);
        assert_eq!(row.comes(forged).reason, Reason::NotRelated);
        assert!(row.memory.v4.paths.is_empty() && row.memory.v6.paths.is_empty());
    }
}

/// A client may have the port that Geneve has: errors about its flow go where that is.
#[test]
fn a_clients_port_says_nothing() {
    for mut row in Row::entering(UDP, Format::Geneve) {
        let Cast {
            client, service, ..
        } = row.cast;
        let client = SocketAddr::new(client.ip(), 6_081);
        let end = row.comes(udp(client, service).bytes());
        assert_eq!(end.reason, Reason::Tunnelled);
        let answer = udp(service, client).payload(&[1; 64]).bytes();
        let error = too_long(service.ip(), &answer, 1_400, 548).bytes();
        assert_eq!(row.comes(error).reason, Reason::Tunnelled);
        assert!(row.memory.v4.paths.is_empty() && row.memory.v6.paths.is_empty());
    }
}

/// The same packet from somebody else.
fn from(outer: &[u8], address: IpAddr) -> Vec<u8> {
    let mut bytes = outer.to_vec();
    match address {
        IpAddr::V4(address) => bytes[26..30].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes[22..38].copy_from_slice(&address.octets()),
    }
    bytes
}
