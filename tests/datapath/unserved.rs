// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ports that a Service's address does not have, addresses that no Service has, and echo requests.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{
        AnswerLimit, Echoed, Forwarded, FragmentEarly, NotService, OtherProtocol, PortRefused,
        Unallocated, Unanswerable, Unechoed, UnknownPort,
    },
    wire::{
        Manner, Range, Refusals,
        protocol::{TCP, UDP},
    },
};
use std::net::SocketAddr;
use tests::packet::{
    Extension, Frame, SEQUENCE,
    answers::{Reset, echo_reply, echo_request},
    opening, other, tcp, udp,
};

/// A row with a Service at port 80, whose address has its entry.
fn one_port(row: impl Fn(&mut Play<'_>, SocketAddr, SocketAddr)) {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[a]);
        play.addresses(&[service]);
        row(play, client, service);
    });
}

fn at_port(address: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), port)
}

#[test]
fn a_port_that_a_service_does_not_have_is_refused() {
    one_port(|play, client, service| {
        for port in [0, 1, 22, 81, 6_443, 65_535] {
            let syn = tcp(client, at_port(service, port)).syn();
            play.ingress(&syn)
                .answers(PortRefused, &syn.reset(Reset::After(SEQUENCE)));
            let datagram = udp(client, at_port(service, port)).payload(&[1; 60]);
            play.ingress(&datagram)
                .answers(PortRefused, &datagram.port_unreachable());
        }
        // The other protocol at the port that it has, and one that has no ports here.
        let datagram = udp(client, service).payload(&[1; 60]);
        play.ingress(&datagram)
            .answers(PortRefused, &datagram.port_unreachable());
        let tunnel = other(47, client.ip(), service.ip()).payload(&[2; 60]);
        play.ingress(&tunnel)
            .answers(PortRefused, &tunnel.port_unreachable());
        let cut = other(47, client.ip(), service.ip()).payload(&[2; 7]);
        play.ingress(&cut).stays(Unanswerable);
        assert_eq!(play.flows(), [0, 0]);
        play.ingress(&tcp(client, service).syn()).ends(Forwarded);
    });
}

#[test]
fn an_address_without_an_entry_is_no_service() {
    one_port(|play, client, service| {
        let Cast {
            other, stranger, ..
        } = play.cast;
        for destination in [other, stranger] {
            for protocol in [TCP, UDP] {
                play.ingress(&opening(protocol, client, destination))
                    .stays(NotService);
            }
            play.ingress(&echo_request(client.ip(), destination.ip(), b"ping"))
                .stays(OtherProtocol);
        }
        play.ingress(&tcp(service, client).syn()).stays(NotService);
    });
}

/// The range of the cast's Services.
pub(crate) fn range(play: &mut Play<'_>) {
    let mut v4 = Range::default();
    v4.network[..4].copy_from_slice(&[10, 96, 0, 0]);
    v4.mask[..4].copy_from_slice(&[0xff, 0xff, 0xff, 0]);
    let mut v6 = Range::default();
    v6.network[..4].copy_from_slice(&[0xfd, 0, 0, 0x96]);
    v6.mask[..8].fill(0xff);
    play.ranges([v4, v6]);
}

#[test]
fn an_address_that_no_service_has_is_dropped_within_the_range() {
    one_port(|play, client, service| {
        let Cast {
            other,
            stranger,
            pods: [a, _, _],
            ..
        } = play.cast;
        range(play);
        for protocol in [TCP, UDP] {
            play.ingress(&opening(protocol, client, other))
                .stays(Unallocated);
            play.ingress(&opening(protocol, client, stranger))
                .stays(NotService);
        }
        play.ingress(&tcp(client, other).rst()).stays(Unallocated);
        play.ingress(&echo_request(client.ip(), other.ip(), b"ping"))
            .stays(Unallocated);
        play.ingress(&echo_request(client.ip(), a.ip(), b"ping"))
            .stays(OtherProtocol);
        play.ingress(&tcp(client, service).syn()).ends(Forwarded);
        play.refusals(Refusals {
            unallocated: Manner::Pass.byte(),
            ..Refusals::default()
        });
        play.ingress(&udp(client, other)).stays(NotService);
    });
}

#[test]
fn the_node_answers_echo_requests() {
    one_port(|play, client, service| {
        for length in [0, 1, 56, 1_400] {
            let bytes = vec![0x5a; length];
            for hops in [1, 64, 255] {
                let request = echo_request(client.ip(), service.ip(), &bytes).hops(hops);
                let reply = echo_reply(service.ip(), client.ip(), &bytes);
                play.ingress(&request).becomes(Echoed, &reply);
            }
        }
    });
}

#[test]
fn nothing_else_of_icmp_is_answered() {
    one_port(|play, client, service| {
        let request = || echo_request(client.ip(), service.ip(), b"ping");
        let reply = echo_reply(client.ip(), service.ip(), b"ping");
        play.ingress(&reply).stays(Unanswerable);
        let bent = if client.is_ipv4() {
            request().ipv4_options(&[1; 4])
        } else {
            request().extension(Extension::Destination(6))
        };
        play.ingress(&bent).stays(Unanswerable);
        let echo_to_itself = echo_request(service.ip(), service.ip(), b"ping");
        play.ingress(&echo_to_itself).stays(Unanswerable);
        let cut: Frame = request().truncated(request().bytes().len() - 1);
        play.ingress(&cut).stays_or_is_refused(Unanswerable);
        let pieces = echo_request(client.ip(), service.ip(), &[0x5a; 100]).pieces(48);
        play.ingress(&pieces[0]).stays(Unanswerable);
        play.ingress(&pieces[1]).stays(FragmentEarly);
    });
}

#[test]
fn echoes_are_within_the_rate_of_all_answers() {
    one_port(|play, client, service| {
        play.refusals(Refusals::per_second(10));
        let request = echo_request(client.ip(), service.ip(), b"ping");
        let reply = echo_reply(service.ip(), client.ip(), b"ping");
        let syn = tcp(client, at_port(service, 1)).syn();
        play.ingress(&request).becomes(Echoed, &reply);
        play.ingress(&syn)
            .answers(PortRefused, &syn.reset(Reset::After(SEQUENCE)));
        play.ingress(&request).stays(AnswerLimit);
        play.ingress(&syn).stays(AnswerLimit);
    });
}

#[test]
fn the_node_may_be_told_otherwise() {
    one_port(|play, client, service| {
        let request = echo_request(client.ip(), service.ip(), b"ping");
        let syn = tcp(client, at_port(service, 1)).syn();
        for (manner, ports, echoes) in [
            (Manner::Drop, UnknownPort, Unechoed),
            (Manner::Pass, NotService, OtherProtocol),
        ] {
            play.refusals(Refusals {
                unknown_port: manner.byte(),
                echo: manner.byte(),
                ..Refusals::default()
            });
            play.ingress(&syn).stays(ports);
            play.ingress(&request).stays(echoes);
        }
    });
}
