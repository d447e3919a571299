// SPDX-License-Identifier: MIT OR Apache-2.0
//! Into a tunnel where a client's packets come in, and out of it where they are served. On the host
//! alone, as what XDP sends on: what the kernel says is the node suite's.

mod lasting;
mod narrow;
mod row;

use crate::{
    play::{Cast, done, play},
    twin::LOOPBACK,
};
use lb_common::{
    delivery::Way,
    tunnel::Format,
    verdict::{Reason, Verdict},
    wire::{
        BackendState, Takeover,
        protocol::{SCTP, TCP, UDP},
    },
};
use row::{End, MTU, NODES, POD, Row, STATIONS, UPLINK, in_tunnel};
use std::net::{IpAddr, SocketAddr};
use tests::{
    kernel::Hook,
    packet::{
        Frame, icmp, opening,
        sums::{Sum, sums},
        tcp, udp,
    },
};

const FORMATS: [Format; 2] = [Format::Ipip, Format::Geneve];

#[test]
fn packets_enter_as_they_are() {
    for format in FORMATS {
        for protocol in [TCP, UDP, SCTP] {
            for is_early in [false, true] {
                for mut row in Row::entering(protocol, format) {
                    let Cast {
                        client, service, ..
                    } = row.cast;
                    let first = opening(protocol, client, service);
                    let more = opening(protocol, client, service).payload(b"more");
                    let mut frames = vec![first.clone(), more, first];
                    if protocol == TCP {
                        frames.push(tcp(client, service).ack().payload(b"hello"));
                        frames.push(tcp(client, service).rst());
                    }
                    for frame in frames {
                        let inner = frame.bytes();
                        let end = row.comes_to(is_early, inner.clone());
                        assert_eq!(end.reason, Reason::Tunnelled);
                        assert_eq!(end.sent, Some((Way::Station, UPLINK)));
                        let mut expected = row.wrapped(row.nodes[0], &inner, format, end.port());
                        expected[..12].copy_from_slice(STATIONS.as_flattened());
                        assert_eq!(end.bytes, expected);
                        assert!(format == Format::Ipip || end.port() >= 49_152);
                    }
                    let known = row.memory.v4.tunnelled.len() + row.memory.v6.tunnelled.len();
                    assert_eq!(known, 1);
                }
            }
        }
    }
}

/// What is in the middle of a connection that nobody here has seen begin goes where every node
/// would send it; and it stays where it is when there are other backends.
#[test]
fn flows_stay_where_they_are() {
    for mut row in Row::entering(TCP, Format::Ipip) {
        let Cast {
            client,
            service,
            pods,
            ..
        } = row.cast;
        let ack = tcp(client, service).ack().bytes();
        assert_eq!(row.comes_early(ack.clone()).reason, Reason::Tunnelled);
        let to = |end: &End| end.bytes[if service.is_ipv4() { 30..34 } else { 38..54 }].to_vec();
        let chosen = to(&row.comes_early(ack.clone()));
        // Also where new ones are to go another way.
        row.memory.set_flags(service, TCP, 0);
        for is_early in [false, true] {
            let end = row.comes_to(is_early, ack.clone());
            assert_eq!((end.reason, to(&end)), (Reason::Tunnelled, chosen.clone()));
        }
        row.memory.add_backend(2, pods[1], TCP);
        row.memory.add_tunnelled(service, TCP, &[2], Format::Ipip);
        assert_eq!(to(&row.comes_early(ack.clone())), chosen);
        // Also while its backend takes no new ones; but a client that begins anew goes elsewhere.
        row.memory.set_backend(1, BackendState::Draining);
        assert_eq!(to(&row.comes(ack.clone())), chosen);
        let syn = tcp(client, service).syn().bytes();
        let other = to(&row.comes(syn.clone()));
        assert_ne!(other, chosen);
        assert_eq!(to(&row.comes_early(ack.clone())), other);
        // Nor does it move when that one is gone; who begins anew does.
        row.memory.backends.remove(&2);
        row.memory.set_backend(1, BackendState::Active);
        row.memory.add_tunnelled(service, TCP, &[1], Format::Ipip);
        assert_eq!(to(&row.comes_early(ack)), other);
        assert_eq!(to(&row.comes_early(syn)), chosen);
    }
}

#[test]
fn what_does_not_fit_is_told_so() {
    for (format, rooms) in FORMATS.into_iter().zip([[20, 40], [36, 56]]) {
        for (mut row, room) in Row::entering(TCP, format).into_iter().zip(rooms) {
            let Cast {
                client, service, ..
            } = row.cast;
            let headers = if client.is_ipv4() { 40 } else { 60 };
            let fits = usize::from(MTU) - room - headers;
            for (payload, segment) in [(fits, 0), (20_000, fits)] {
                row.segment = segment.try_into().expect("a row's");
                let whole = tcp(client, service)
                    .ack()
                    .payload(&vec![1; payload])
                    .bytes();
                assert_eq!(row.comes(whole).reason, Reason::Tunnelled);
            }
            for (payload, segment) in [(fits + 1, 0), (20_000, fits + 1)] {
                for is_early in [false, true] {
                    row.segment = segment.try_into().expect("a row's");
                    let long = tcp(client, service)
                        .ack()
                        .payload(&vec![1; payload])
                        .bytes();
                    let end = row.comes_to(is_early, long);
                    assert_eq!(end.reason, Reason::TooLong);
                    let kind = if client.is_ipv4() { [3, 4] } else { [2, 0] };
                    let at = if client.is_ipv4() { 34 } else { 54 };
                    assert_eq!(end.bytes[at..at + 2], kind);
                    let mtu = u32::from(MTU) - u32::try_from(room).expect("a row's");
                    assert_eq!(end.bytes[at + 4..at + 8], mtu.to_be_bytes());
                    assert_eq!(sums(&end.bytes).transport, Sum::Right);
                }
            }
        }
    }
}

/// A backend of this node's, one that no uplink leads to, and what the tunnel cannot carry.
#[test]
fn without_a_tunnel_all_is_as_without_the_wish() {
    for mut row in Row::entering(UDP, Format::Ipip) {
        let Cast {
            client, service, ..
        } = row.cast;
        row.road.leaves_by = POD;
        let whole = udp(client, service);
        assert_eq!(row.comes_early(whole.bytes()).reason, Reason::Continued);
        assert_eq!(row.comes(whole.bytes()).reason, Reason::Forwarded);
    }
    for mut row in Row::entering(UDP, Format::Ipip) {
        let Cast {
            client, service, ..
        } = row.cast;
        // Also where a whole one has gone into a tunnel.
        assert_eq!(
            row.comes_early(udp(client, service).bytes()).reason,
            Reason::Tunnelled
        );
        let first = udp(client, service).fragment(0, true).bytes();
        assert_eq!(row.comes_early(first.clone()).reason, Reason::Continued);
        assert_eq!(row.comes(first).reason, Reason::Forwarded);
    }
}

#[test]
fn packets_come_out_as_they_went_in() {
    for format in FORMATS {
        for protocol in [TCP, UDP, SCTP] {
            for mut row in Row::serving(protocol) {
                let Cast {
                    client,
                    service,
                    pods,
                    ..
                } = row.cast;
                let inner = opening(protocol, client, service).bytes();
                let wrapped = row.wrapped(row.nodes[1], &inner, format, 50_000);
                let end = row.comes(wrapped);
                assert_eq!(end.reason, Reason::Forwarded, "{format:?} {protocol}");
                let expected = opening(protocol, client, pods[0]).bytes();
                assert_eq!(end.bytes[14..], expected[14..]);
            }
        }
    }
}

#[test]
fn by_a_port_of_the_node_that_was_dialled() {
    for mut row in Row::serving(TCP) {
        let client = row.cast.client;
        let dialled = SocketAddr::new(row.nodes[1], row.cast.service.port());
        let nobody: IpAddr = if client.is_ipv4() { "0.0.0.0" } else { "::" }
            .parse()
            .expect("an address");
        let entry = SocketAddr::new(nobody, dialled.port());
        row.memory.add_out_of_tunnel(entry, TCP, &[1]);
        let syn = tcp(client, dialled).syn().bytes();
        let wrapped = row.wrapped(row.nodes[1], &syn, Format::Ipip, 0);
        assert_eq!(row.comes(wrapped).reason, Reason::Forwarded);
        // Nobody dials it as it is.
        let plain = tcp(client, entry).syn().bytes();
        assert_eq!(row.comes(plain).reason, Reason::PortRefused);
    }
}

#[test]
fn who_is_no_node_is_not_believed() {
    for format in FORMATS {
        for mut row in Row::serving(UDP) {
            let Cast {
                client,
                service,
                pods,
                ..
            } = row.cast;
            let inner = udp(client, service).bytes();
            let wrapped = row.wrapped(client.ip(), &inner, format, 50_000);
            assert_eq!(row.comes(wrapped).reason, Reason::Stranger);
            // A pod's own tunnel is its own.
            let elsewhere = udp(client, pods[1]).bytes();
            let wrapped = row.wrapped(client.ip(), &elsewhere, format, 50_000);
            let end = row.comes(wrapped.clone());
            assert!([Reason::OtherProtocol, Reason::NotService].contains(&end.reason));
            assert_eq!(end.bytes, wrapped);
        }
    }
}

#[test]
fn what_is_served_nowhere_ends_here() {
    for mut row in Row::serving(TCP) {
        let Cast {
            client, service, ..
        } = row.cast;
        let elsewhere = SocketAddr::new(service.ip(), service.port() + 1);
        let syn = tcp(client, elsewhere).syn().bytes();
        let wrapped = row.wrapped(row.nodes[1], &syn, Format::Geneve, 50_000);
        assert_eq!(row.comes(wrapped).reason, Reason::Astray);
        // In the middle of what nobody knows: told, by the way that leads to the client.
        let ack = tcp(client, service).ack().bytes();
        let wrapped = row.wrapped(row.nodes[1], &ack, Format::Ipip, 0);
        let end = row.comes(wrapped);
        assert_eq!(end.reason, Reason::Reset);
        assert_eq!(end.answers, Some((client.ip(), POD)));
    }
}

/// An error about what a backend has sent follows the client's packets.
#[test]
fn errors_follow() {
    for mut row in Row::entering(UDP, Format::Geneve) {
        let Cast {
            client, service, ..
        } = row.cast;
        assert_eq!(
            row.comes(udp(client, service).bytes()).reason,
            Reason::Tunnelled
        );
        let kind = if client.is_ipv4() { [3, 3] } else { [1, 4] };
        let about = |to: SocketAddr| {
            let quoted = udp(service, to).bytes();
            icmp(kind, client.ip(), service.ip())
                .payload(&quoted[14..])
                .bytes()
        };
        let end = row.comes(about(client));
        assert_eq!(end.reason, Reason::Tunnelled);
        let port = end.port();
        let mut expected = row.wrapped(row.nodes[0], &about(client), Format::Geneve, port);
        expected[..12].copy_from_slice(STATIONS.as_flattened());
        assert_eq!(end.bytes, expected);
        let unknown = SocketAddr::new(client.ip(), client.port() + 1);
        assert_ne!(row.comes(about(unknown)).reason, Reason::Tunnelled);
    }
}

/// Other nodes would believe it, if it is shown as its node on the way.
#[test]
fn a_pod_cannot_pass_for_a_node() {
    for format in FORMATS {
        for mut row in Row::serving(UDP) {
            let Cast {
                client,
                service,
                pods,
                ..
            } = row.cast;
            row.memory.uplinks.clear();
            let inner = udp(client, service).bytes();
            let [node, _] = row.nodes;
            for from in [node, client.ip()] {
                let forged = row.wrapped(from, &inner, format, 50_000);
                assert_eq!(row.comes(forged).reason, Reason::Stranger);
            }
            // Its own tunnels, to wherever it likes.
            let inner = udp(client, pods[1]).bytes();
            let own = row.wrapped(client.ip(), &inner, format, 50_000);
            let end = row.comes(own.clone());
            assert_eq!(end.reason.verdict(), Verdict::Pass);
            assert_eq!(end.bytes, own);
        }
    }
}

/// What netfilter may have is left to it.
#[test]
fn nothing_enters_while_another_proxy_serves() {
    for mut row in Row::entering(UDP, Format::Ipip) {
        let Cast {
            client, service, ..
        } = row.cast;
        row.memory.node.takeover = Takeover::Observing.number();
        let whole = udp(client, service).bytes();
        let end = row.comes(whole.clone());
        assert_eq!((end.reason, end.bytes), (Reason::Foreign, whole));
    }
}

/// A flow that goes on here is not taken away by what was known of an earlier one.
#[test]
fn what_was_chosen_before_does_not_come_back() {
    for mut row in Row::entering(TCP, Format::Ipip) {
        let Cast {
            client, service, ..
        } = row.cast;
        let syn = tcp(client, service).syn().bytes();
        assert_eq!(row.comes(syn.clone()).reason, Reason::Tunnelled);
        row.memory.set_backend(1, BackendState::Quiet);
        row.memory.now_ns += 1_000_000_000;
        row.road.leaves_by = POD;
        assert_eq!(row.comes_early(syn.clone()).reason, Reason::Continued);
        assert_eq!(row.comes(syn).reason, Reason::Forwarded);
        row.memory.set_backend(1, BackendState::Active);
        row.road.leaves_by = UPLINK;
        let ack = tcp(client, service).ack().bytes();
        assert_eq!(row.comes_early(ack).reason, Reason::Continued);
    }
}

/// The kernel takes them out as well, of whatever length; to put them in takes a route.
#[test]
fn the_kernel_takes_out_what_the_host_does() {
    for format in FORMATS {
        for protocol in [TCP, UDP, SCTP] {
            play(|play| {
                let Cast {
                    client,
                    service,
                    pods,
                    ..
                } = play.cast;
                let memory = &mut play.twin.memory;
                memory.add_backend(1, pods[0], protocol);
                memory.add_out_of_tunnel(service, protocol, &[1]);
                let [ours, theirs] =
                    NODES.map(|node| node.map(|text| text.parse().expect("an address")));
                memory.add_uplink(LOOPBACK, ours);
                let node = theirs[usize::from(client.is_ipv6())];
                memory.add_node(node);
                play.copy();
                let mut comes = |from: IpAddr, inner: &Frame| {
                    let ends = [from, pods[0].ip()];
                    let frame = in_tunnel(ends, &inner.bytes(), format, 50_000);
                    let outcome = done(play.twin.run(Hook::Ingress, &frame));
                    (outcome.reason, outcome.frame == frame, outcome.frame)
                };
                let first = opening(protocol, client, service);
                let (end, is_as_before, _) = comes(client.ip(), &first);
                assert_eq!((end, is_as_before), (Some(Reason::Stranger), true));
                for length in [0, 1, 900] {
                    let payload = vec![7; length];
                    let (end, _, after) = comes(node, &first.clone().payload(&payload));
                    let expected = opening(protocol, client, pods[0]).payload(&payload);
                    assert_eq!((end, after), (Some(Reason::Forwarded), expected.bytes()));
                }
                let nowhere = SocketAddr::new(service.ip(), 9);
                let (end, ..) = comes(node, &opening(protocol, client, nowhere));
                assert_eq!(end, Some(Reason::Astray));
                let (end, is_as_before, _) =
                    comes(client.ip(), &opening(protocol, client, pods[1]));
                assert_eq!(end.map(Reason::verdict), Some(Verdict::Pass));
                assert!(is_as_before);
            });
        }
    }
}
