// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of connections in tunnels, and of those that begin, while the cluster around them
//! changes.

use super::row::{Row, STATIONS, UPLINK};
use crate::play::Cast;
use lb_common::{
    delivery::Routed,
    tunnel::Format,
    verdict::Reason,
    wire::{
        Service,
        protocol::{SCTP, TCP, UDP},
    },
};
use tests::packet::{opening, tcp, udp};

/// Who has been let in stays, whatever becomes of the Service; who has not does not come in.
#[test]
fn connections_outlive_their_service() {
    for is_early in [false, true] {
        for mut row in Row::entering(TCP, Format::Ipip) {
            let Cast {
                client, service, ..
            } = row.cast;
            let syn = tcp(client, service).syn().bytes();
            let ack = tcp(client, service).ack().bytes();
            assert_eq!(row.comes(syn.clone()).reason, Reason::Tunnelled);
            // Nobody is in any range.
            let ranges = Service::RANGES | Format::Ipip.flag();
            row.memory.set_flags(service, TCP, ranges);
            assert_eq!(
                row.comes_to(is_early, ack.clone()).reason,
                Reason::Tunnelled
            );
            assert_eq!(row.comes(syn).reason, Reason::NotAdmitted);
            let other = tcp(client, service).ack().numbers(9, 9);
            row.memory.remove_service(service, TCP);
            row.memory.backends.clear();
            for segment in [ack, other.bytes()] {
                let end = row.comes_to(is_early, segment.clone());
                assert_eq!(end.reason, Reason::Tunnelled);
                let mut expected = row.wrapped(row.nodes[0], &segment, Format::Ipip, 0);
                expected[..12].copy_from_slice(STATIONS.as_flattened());
                assert_eq!(end.bytes, expected);
            }
        }
    }
}

/// What has never come by here is not let in by being in the middle of something.
#[test]
fn who_is_not_let_in_cannot_go_on() {
    for mut row in Row::entering(TCP, Format::Geneve) {
        let Cast {
            client, service, ..
        } = row.cast;
        let ack = tcp(client, service).ack().bytes();
        row.memory
            .set_flags(service, TCP, Service::RANGES | Format::Geneve.flag());
        assert_eq!(row.comes(ack.clone()).reason, Reason::NotAdmitted);
        row.memory.remove_service(service, TCP);
        row.memory.add_address(service.ip());
        assert_eq!(row.comes(ack).reason, Reason::PortRefused);
    }
}

/// A route that is away for a while ends nothing: what is sent again finds it.
#[test]
fn without_a_route_nothing_under_way_ends() {
    for mut row in Row::entering(TCP, Format::Ipip) {
        let Cast {
            client, service, ..
        } = row.cast;
        let syn = tcp(client, service).syn().bytes();
        let ack = tcp(client, service).ack().bytes();
        assert_eq!(row.comes(syn).reason, Reason::Tunnelled);
        row.memory.now_ns += 1_000_000_000;
        row.road.routed = Routed::Nowhere;
        assert_eq!(row.comes_early(ack.clone()).reason, Reason::Continued);
        assert_eq!(row.comes(ack.clone()).reason, Reason::NoWay);
        // Also where it has been forgotten which backend it has.
        row.memory.v4.tunnelled.clear();
        row.memory.v6.tunnelled.clear();
        assert_eq!(row.comes(ack.clone()).reason, Reason::NoWay);
        row.road.routed = Routed::Onwards;
        assert_eq!(row.comes(ack).reason, Reason::Tunnelled);
    }
}

/// Who would not listen to an error about the length goes by a masquerade.
#[test]
fn what_may_be_broken_needs_no_tunnel() {
    for is_early in [false, true] {
        for mut row in Row::entering(UDP, Format::Ipip) {
            let Cast {
                client, service, ..
            } = row.cast;
            let headers = if client.is_ipv4() { 28 } else { 48 };
            let long = udp(client, service).payload(&vec![1; 1_500 - headers]);
            let end = row.comes_to(is_early, long.clone().unbreakable().bytes());
            assert_eq!(end.reason, Reason::TooLong);
            let short = udp(client, service).bytes();
            assert_eq!(row.comes_to(is_early, short).reason, Reason::Tunnelled);
            let end = row.comes_to(is_early, long.bytes()).reason;
            let expected = match (client.is_ipv4(), is_early) {
                (false, _) => Reason::TooLong,
                (true, true) => Reason::Continued,
                (true, false) => Reason::Forwarded,
            };
            assert_eq!(end, expected);
        }
    }
}

/// Only UDP may come from elsewhere in the middle of something.
#[test]
fn who_is_under_way_is_told_what_fits() {
    for mut row in Row::entering(SCTP, Format::Ipip) {
        let Cast {
            client, service, ..
        } = row.cast;
        let long = opening(SCTP, client, service).payload(&[1; 1_480]);
        assert_eq!(row.comes(long.bytes()).reason, Reason::TooLong);
    }
    for mut row in Row::entering(TCP, Format::Ipip) {
        let Cast {
            client, service, ..
        } = row.cast;
        let syn = tcp(client, service).syn().bytes();
        assert_eq!(row.comes(syn).reason, Reason::Tunnelled);
        row.memory.now_ns += 1_000_000_000;
        row.road.mtu = 1_300;
        let fits = tcp(client, service).ack().bytes();
        assert_eq!(row.comes(fits).reason, Reason::Tunnelled);
        let long = tcp(client, service).ack().payload(&[1; 1_300]).bytes();
        assert_eq!(row.comes(long).reason, Reason::TooLong);
    }
}

/// A backend on this node's own network, whose flow nobody knows here.
#[test]
fn what_this_node_does_not_know_is_reset() {
    for mut row in Row::entering(TCP, Format::Ipip) {
        let Cast {
            client,
            service,
            pods,
            ..
        } = row.cast;
        row.memory.add_node(pods[0].ip());
        row.road.routed = Routed::Nowhere;
        let ack = tcp(client, service).ack().bytes();
        assert_eq!(row.comes(ack).reason, Reason::Reset);
    }
}

/// IPv6 has no smaller packets than links of the least MTU carry.
#[test]
fn no_sender_is_told_of_an_mtu_that_it_cannot_use() {
    for mut row in Row::entering(UDP, Format::Ipip) {
        let Cast {
            client, service, ..
        } = row.cast;
        row.road.mtu = 1_300;
        let end = row.comes(udp(client, service).bytes()).reason;
        let expected = if client.is_ipv4() {
            Reason::Tunnelled
        } else {
            Reason::Forwarded
        };
        assert_eq!(end, expected);
    }
}

/// A node between two others lets their tunnels pass.
#[test]
fn what_is_for_another_node_goes_on() {
    for format in super::FORMATS {
        for mut row in Row::serving(TCP) {
            let Cast {
                client, service, ..
            } = row.cast;
            row.road.leaves_by = UPLINK;
            row.road.next = Some(row.nodes[1]);
            let inner = tcp(client, service).syn().bytes();
            let wrapped = row.wrapped(row.nodes[1], &inner, format, 50_000);
            let end = row.comes(wrapped.clone());
            assert!([Reason::OtherProtocol, Reason::NotService].contains(&end.reason));
            assert_eq!(end.bytes, wrapped);
            // A route to whoever routes for all is left over where a pod of this node's has gone.
            row.road.next = Some(client.ip());
            assert_eq!(row.comes(wrapped).reason, Reason::Forwarded);
            // The node's own address is no route onwards.
            row.road.routed = Routed::Nowhere;
            let inner = tcp(client, service).ack().bytes();
            let wrapped = row.wrapped(row.nodes[1], &inner, format, 50_000);
            assert_eq!(row.comes(wrapped).reason, Reason::Forwarded);
        }
    }
}

/// The node where a client comes in may know of the first backend before its own node does.
#[test]
fn nobody_is_refused_for_being_early() {
    for protocol in [TCP, UDP] {
        for mut row in Row::serving(protocol) {
            let Cast {
                client, service, ..
            } = row.cast;
            row.memory.add_out_of_tunnel(service, protocol, &[]);
            let inner = opening(protocol, client, service).bytes();
            let wrapped = row.wrapped(row.nodes[1], &inner, Format::Ipip, 0);
            assert_eq!(row.comes(wrapped).reason, Reason::Astray);
            row.memory.add_out_of_tunnel(service, protocol, &[1]);
            let wrapped = row.wrapped(row.nodes[1], &inner, Format::Ipip, 0);
            assert_eq!(row.comes(wrapped).reason, Reason::Forwarded);
        }
    }
}
