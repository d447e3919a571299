// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stale flows: what becomes of a flow when its backend leaves, stops serving, or is to end; and of
//! a client's port that was used before.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{Forwarded, NotReply, Refused, Replied, Reset},
    wire::{
        BackendState::{Active, Draining, Free, Quiet},
        protocol::{SCTP, TCP, UDP},
    },
};
use std::net::SocketAddr;
use tests::packet::{ACKNOWLEDGED, Frame, answers::Reset as Numbers, opening, sctp, tcp, udp};

/// What a backend sends first.
fn answer(protocol: u8, source: SocketAddr, destination: SocketAddr) -> Frame {
    match protocol {
        TCP => tcp(source, destination).syn_ack(),
        UDP => udp(source, destination),
        _ => sctp(source, destination),
    }
}

/// A flow to the first pod.
fn flow(play: &mut Play<'_>, protocol: u8) {
    let Cast {
        client,
        service,
        pods: [a, ..],
        ..
    } = play.cast;
    play.service(service, protocol, &[a]);
    play.ingress(&opening(protocol, client, service))
        .becomes(Forwarded, &opening(protocol, client, a));
}

/// The first pod's answer reaches the client.
fn answered(play: &mut Play<'_>, protocol: u8) {
    let Cast {
        client,
        service,
        pods: [a, ..],
        ..
    } = play.cast;
    play.egress(&answer(protocol, a, client))
        .becomes(Replied, &answer(protocol, service, client));
}

/// A connection to the first pod, handshake included.
fn connection(play: &mut Play<'_>) {
    flow(play, TCP);
    answered(play, TCP);
    client_goes_on(play, Frame::ack);
}

/// A client's segment still goes to the first pod.
fn client_goes_on(play: &mut Play<'_>, segment: impl Fn(Frame) -> Frame) {
    let Cast {
        client,
        service,
        pods: [a, ..],
        ..
    } = play.cast;
    play.ingress(&segment(tcp(client, service)))
        .becomes(Forwarded, &segment(tcp(client, a)));
}

/// The first pod's segment still comes from the Service.
fn pod_goes_on(play: &mut Play<'_>, segment: impl Fn(Frame) -> Frame) {
    let Cast {
        client,
        service,
        pods: [a, ..],
        ..
    } = play.cast;
    play.egress(&segment(tcp(a, client)))
        .becomes(Replied, &segment(tcp(service, client)));
}

#[test]
fn the_next_packet_notices_that_its_backend_has_left() {
    let leave: [fn(&mut Play<'_>, u8); 3] = [
        |play, protocol| play.state(play.cast.pods[0], protocol, Free),
        |play, protocol| play.state(play.cast.pods[0], protocol, Quiet),
        // Its id is another pod's by now: the epoch tells.
        |play, protocol| {
            let [a, _, c] = play.cast.pods;
            play.replace(a, c, protocol);
        },
    ];
    for protocol in [TCP, UDP, SCTP] {
        for leave in leave {
            play(|play| {
                let Cast {
                    client,
                    service,
                    pods: [a, b, _],
                    ..
                } = play.cast;
                flow(play, protocol);
                play.service(service, protocol, &[b]);
                leave(play, protocol);
                play.ingress(&opening(protocol, client, service))
                    .becomes(Forwarded, &opening(protocol, client, b));
                assert_eq!(play.flows(), [1, 0], "the old flow is forgotten");
                play.egress(&answer(protocol, a, client)).stays(NotReply);
                play.egress(&answer(protocol, b, client))
                    .becomes(Replied, &answer(protocol, service, client));
            });
        }
    }
}

#[test]
fn a_backend_that_is_to_end_keeps_its_flows_and_gets_no_new_ones() {
    for protocol in [TCP, UDP, SCTP] {
        play(|play| {
            let Cast {
                client,
                service,
                pods: [a, b, _],
                ..
            } = play.cast;
            flow(play, protocol);
            // The slots go first, then the backend, as the agent writes it.
            play.service(service, protocol, &[b]);
            play.state(a, protocol, Draining);
            for number in 1..10 {
                let newcomer = SocketAddr::new(client.ip(), client.port() + number);
                play.ingress(&opening(protocol, newcomer, service))
                    .becomes(Forwarded, &opening(protocol, newcomer, b));
                play.ingress(&opening(protocol, client, service))
                    .becomes(Forwarded, &opening(protocol, client, a));
                answered(play, protocol);
            }
        });
    }
}

#[test]
fn a_handshake_that_was_answered_is_completed_with_who_has_answered() {
    for state in [Draining, Quiet, Free] {
        play(|play| {
            let Cast {
                service,
                pods: [a, b, _],
                ..
            } = play.cast;
            flow(play, TCP);
            answered(play, TCP);
            play.service(service, TCP, &[b]);
            play.state(a, TCP, state);
            // The client counts itself as connected already.
            client_goes_on(play, Frame::ack);
            assert_eq!(play.flows(), [0, 1]);
            client_goes_on(play, |frame| frame.ack().payload(b"request"));
        });
    }
}

#[test]
fn a_handshake_that_nobody_has_answered_cannot_be_completed() {
    for state in [Quiet, Free] {
        play(|play| {
            let Cast {
                client,
                service,
                pods: [a, b, _],
                ..
            } = play.cast;
            flow(play, TCP);
            play.service(service, TCP, &[b]);
            play.state(a, TCP, state);
            let segment = tcp(client, service).ack();
            let reset = segment.reset(Numbers::At(ACKNOWLEDGED));
            play.ingress(&segment).answers(Reset, &reset);
            assert_eq!(play.flows(), [0, 0]);
        });
    }
}

#[test]
fn readiness_moves_no_connection() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, b, _],
            ..
        } = play.cast;
        connection(play);
        for flip in 1..10 {
            play.service(service, TCP, &[b]);
            play.state(a, TCP, Quiet);
            client_goes_on(play, |frame| frame.ack().payload(b"request"));
            pod_goes_on(play, |frame| frame.ack().payload(b"answer"));
            let newcomer = SocketAddr::new(client.ip(), client.port() + flip);
            play.ingress(&tcp(newcomer, service).syn())
                .becomes(Forwarded, &tcp(newcomer, b).syn());
            play.state(a, TCP, Active);
            play.service(service, TCP, &[a, b]);
            client_goes_on(play, Frame::ack);
            pod_goes_on(play, Frame::ack);
        }
    });
}

#[test]
fn a_syn_moves_no_connection_of_a_backend_that_is_not_ready() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, b, _],
            ..
        } = play.cast;
        connection(play);
        play.service(service, TCP, &[b]);
        play.state(a, TCP, Quiet);
        client_goes_on(play, Frame::syn);
        client_goes_on(play, |frame| frame.ack().payload(b"request"));
        pod_goes_on(play, |frame| frame.ack().payload(b"answer"));
        // It was the client: it does not know what the pod speaks of, and says so. Its next SYN is
        // a new connection's.
        client_goes_on(play, Frame::rst);
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, b).syn());
    });
    for gone in [
        |play: &mut Play<'_>| play.state(play.cast.pods[0], TCP, Free),
        |play: &mut Play<'_>| {
            play.state(play.cast.pods[0], TCP, Quiet);
            client_goes_on(play, Frame::fin);
        },
    ] {
        play(|play| {
            let Cast {
                client,
                service,
                pods: [_, b, _],
                ..
            } = play.cast;
            connection(play);
            play.service(service, TCP, &[b]);
            gone(play);
            play.ingress(&tcp(client, service).syn())
                .becomes(Forwarded, &tcp(client, b).syn());
        });
    }
}

#[test]
fn without_any_endpoint_old_datagrams_are_refused_and_come_back() {
    for protocol in [UDP, SCTP] {
        play(|play| {
            let Cast {
                client,
                service,
                pods: [a, b, _],
                ..
            } = play.cast;
            flow(play, protocol);
            play.service(service, protocol, &[]);
            play.state(a, protocol, Free);
            let packet = opening(protocol, client, service).payload(&[1; 60]);
            play.ingress(&packet)
                .answers(Refused, &packet.port_unreachable());
            assert_eq!(play.flows(), [0, 0]);
            play.service(service, protocol, &[b]);
            play.ingress(&opening(protocol, client, service))
                .becomes(Forwarded, &opening(protocol, client, b));
        });
    }
}

/// Ways in which a connection to the first pod ends.
const ENDINGS: [fn(&mut Play<'_>); 4] = [
    |play| {
        client_goes_on(play, Frame::fin);
        pod_goes_on(play, Frame::fin);
        client_goes_on(play, Frame::ack);
    },
    |play| {
        pod_goes_on(play, Frame::fin);
        client_goes_on(play, Frame::fin);
        pod_goes_on(play, Frame::ack);
    },
    |play| client_goes_on(play, Frame::rst),
    |play| pod_goes_on(play, |frame| frame.rst().ack()),
];

#[test]
fn a_port_used_again_gets_a_fresh_decision() {
    for end in ENDINGS {
        play(|play| {
            let Cast {
                client,
                service,
                pods: [a, b, _],
                ..
            } = play.cast;
            connection(play);
            end(play);
            play.service(service, TCP, &[b]);
            // What is late of the old connection stays with its pod; a new one is new.
            client_goes_on(play, Frame::ack);
            pod_goes_on(play, Frame::ack);
            play.ingress(&tcp(client, service).syn())
                .becomes(Forwarded, &tcp(client, b).syn());
            assert_eq!(play.flows(), [1, 0], "the old flow is gone");
            play.egress(&tcp(b, client).syn_ack())
                .becomes(Replied, &tcp(service, client).syn_ack());
            play.ingress(&tcp(client, service).ack())
                .becomes(Forwarded, &tcp(client, b).ack());
            assert_eq!(play.flows(), [0, 1]);
            play.egress(&tcp(a, client).ack()).stays(NotReply);
        });
    }
}

#[test]
fn a_port_used_again_and_again_leaves_nothing_behind() {
    play(|play| {
        let pods = play.cast.pods;
        for round in 0..200 {
            let turn = round % 2;
            // What these rows call the first pod changes places.
            play.cast.pods = [pods[turn], pods[1 - turn], pods[2]];
            connection(play);
            assert_eq!(play.flows(), [0, 1]);
            ENDINGS[round % 4](play);
            assert_eq!(play.flows(), [0, 1], "a tombstone");
            // Or the queue would be full of entries that such flows have left in it.
            play.wait(1);
            play.sweep();
        }
    });
}

#[test]
fn two_questions_from_one_socket_at_once_are_both_answered() {
    for pods in [1, 3] {
        play(|play| {
            let Cast {
                client, service, ..
            } = play.cast;
            let served = play.cast.pods;
            play.service(service, UDP, &served[..pods]);
            let ask = |play: &mut Play<'_>, what: &[u8]| {
                let question = udp(client, service).payload(what);
                let [seen, pod] = play.ingress(&question).ends(Forwarded);
                assert_eq!(seen, client);
                pod
            };
            let (a, aaaa) = (ask(play, b"A"), ask(play, b"AAAA"));
            assert_eq!(a, aaaa);
            for what in [b"AAAA".as_slice(), b"A"] {
                play.egress(&udp(a, client).payload(what))
                    .becomes(Replied, &udp(service, client).payload(what));
            }
        });
    }
}
