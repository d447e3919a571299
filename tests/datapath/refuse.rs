// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients that are told that nobody serves what they dial, and those that must not be.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{
        AnswerLimit, Elsewhere, Forwarded, NoBackend, NoFlow, Refused, Reset as Resets,
        Unanswerable,
    },
    wire::{
        Manner, Refusals, Service,
        protocol::{TCP, UDP},
    },
};
use std::net::{IpAddr, SocketAddr};
use tests::packet::{
    ACKNOWLEDGED, Extension, Frame, SEQUENCE, answers::Reset, flag, opening, tcp, udp,
};

/// A row with a Service that has no endpoint, for both protocols.
fn nobody(row: impl Fn(&mut Play<'_>, SocketAddr, SocketAddr)) {
    play(|play| {
        let Cast {
            client, service, ..
        } = play.cast;
        play.service(service, TCP, &[]);
        play.service(service, UDP, &[]);
        row(play, client, service);
    });
}

#[test]
fn a_service_without_endpoints_resets() {
    nobody(|play, client, service| {
        let syn = tcp(client, service).syn();
        play.ingress(&syn)
            .answers(Refused, &syn.reset(Reset::After(SEQUENCE)));
        assert_eq!(play.flows(), [0, 0]);
    });
}

#[test]
fn a_service_without_endpoints_says_that_no_port_is_there() {
    nobody(|play, client, service| {
        let datagrams = [0, 1, 3, 8, 27, 48, 512, 1_400].map(|length| vec![0x5a; length]);
        for payload in datagrams {
            let datagram = udp(client, service).payload(&payload);
            play.ingress(&datagram)
                .answers(Refused, &datagram.port_unreachable());
        }
        let bare = udp(client, service).no_checksum().payload(b"x");
        play.ingress(&bare)
            .answers(Refused, &bare.port_unreachable());
        assert_eq!(play.flows(), [0, 0]);
    });
}

/// RFC 9293, section 3.10.7.1.
#[test]
fn a_reset_has_the_numbers_that_its_receiver_expects() {
    nobody(|play, client, service| {
        let segment = || tcp(client, service);
        for (frame, numbers) in [
            (segment().ack(), Reset::At(ACKNOWLEDGED)),
            (segment().syn_ack(), Reset::At(ACKNOWLEDGED)),
            (segment().fin().payload(b"bye"), Reset::At(ACKNOWLEDGED)),
            (segment(), Reset::After(SEQUENCE)),
            (segment().payload(b"data"), Reset::After(SEQUENCE + 4)),
            (
                segment().syn().payload(b"early"),
                Reset::After(SEQUENCE + 5),
            ),
            (segment().flags(flag::FIN), Reset::After(SEQUENCE + 1)),
            (
                segment().syn().tcp_options(&[1; 12]).payload(&[7; 700]),
                Reset::After(SEQUENCE + 700),
            ),
            // More header than segment: nothing to acknowledge.
            (segment().claims_data_offset(15), Reset::After(SEQUENCE)),
        ] {
            play.ingress(&frame).answers(Refused, &frame.reset(numbers));
            play.wait(1);
        }
    });
}

#[test]
fn headers_that_are_not_plain_are_answered_with_plain_ones() {
    nobody(|play, client, service| {
        let bent = |frame: Frame| {
            if client.is_ipv4() {
                frame.ipv4_options(&[1; 8])
            } else {
                frame.extension(Extension::Destination(14))
            }
        };
        let syn = bent(tcp(client, service).syn());
        play.ingress(&syn)
            .answers(Refused, &syn.reset(Reset::After(SEQUENCE)));
        // An ICMP error would have to quote all of it.
        play.ingress(&bent(udp(client, service)))
            .stays(Unanswerable);
    });
}

#[test]
fn endpoints_elsewhere_are_not_spoken_of() {
    play(|play| {
        let Cast {
            client, service, ..
        } = play.cast;
        for protocol in [TCP, UDP] {
            play.service(service, protocol, &[]);
            play.flags(service, protocol, Service::ELSEWHERE);
            play.ingress(&opening(protocol, client, service))
                .stays(Elsewhere);
        }
        play.ingress(&tcp(client, service).ack()).stays(Elsewhere);
    });
}

#[test]
fn a_segment_of_no_known_flow_is_reset() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[a]);
        for (flags, numbers) in [
            (0, Reset::After(SEQUENCE)),
            (flag::ACK, Reset::At(ACKNOWLEDGED)),
            (flag::SYN | flag::ACK, Reset::At(ACKNOWLEDGED)),
            (flag::FIN | flag::ACK, Reset::At(ACKNOWLEDGED)),
            (flag::SYN | flag::FIN, Reset::After(SEQUENCE + 1)),
        ] {
            let segment = tcp(client, service).flags(flags);
            play.ingress(&segment)
                .answers(Resets, &segment.reset(numbers));
        }
        for flags in [flag::RST, flag::SYN | flag::RST, flag::RST | flag::ACK] {
            play.ingress(&tcp(client, service).flags(flags))
                .stays(Unanswerable);
        }
        assert_eq!(play.flows(), [0, 0]);
        // The client begins anew, and gets a backend.
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, a).syn());
    });
}

/// RFC 1122, section 3.2.2, and RFC 4443, section 2.4 e.
#[test]
fn nobody_answers_what_no_single_host_has_sent() {
    nobody(|play, client, service| {
        let sources: &[&str] = if client.is_ipv4() {
            &[
                "0.0.0.0",
                "127.0.0.1",
                "224.0.0.1",
                "239.1.2.3",
                "240.0.0.1",
                "255.255.255.255",
            ]
        } else {
            &["::", "::1", "ff02::1", "ff0e::1:2"]
        };
        let foreign = sources
            .iter()
            .map(|source| source.parse::<IpAddr>().expect("an address"));
        for source in foreign.chain([service.ip()]) {
            let source = SocketAddr::new(source, 4_242);
            play.ingress(&tcp(source, service).syn())
                .stays(Unanswerable);
            play.ingress(&udp(source, service).payload(&[1; 64]))
                .stays(Unanswerable);
        }
        // A frame to a group of stations, or one that says to be from one.
        for at in [0, 6] {
            let mut frame = udp(client, service).payload(&[1; 64]).bytes();
            frame[at] |= 1;
            play.ingress_bytes(&frame).stays(Unanswerable);
        }
    });
}

#[test]
fn a_packet_that_is_shorter_than_it_says_is_not_answered() {
    nobody(|play, client, service| {
        let datagram = udp(client, service).payload(&[1; 64]);
        let length = datagram.bytes().len();
        play.ingress(&datagram.truncated(length - 1))
            .stays_or_is_refused(Unanswerable);
    });
}

#[test]
fn answers_are_limited_for_the_node() {
    nobody(|play, client, service| {
        play.refusals(Refusals::per_second(10));
        let syn = tcp(client, service).syn();
        let reset = syn.reset(Reset::After(SEQUENCE));
        // A tenth of a second's worth at once, whoever asks.
        let another = tcp(SocketAddr::new(client.ip(), 7), service).syn();
        play.ingress(&syn).answers(Refused, &reset);
        play.ingress(&another)
            .answers(Refused, &another.reset(Reset::After(SEQUENCE)));
        for _ in 0..3 {
            play.ingress(&syn).stays(AnswerLimit);
        }
        play.wait_ns(99_999_999);
        play.ingress(&syn).stays(AnswerLimit);
        play.wait_ns(1);
        play.ingress(&syn).answers(Refused, &reset);
        play.ingress(&syn).stays(AnswerLimit);
    });
}

/// Of ten thousand short datagrams, whose answers are twice as long, about every other one is
/// answered: together, answers are not longer than what they answer.
#[test]
fn answers_are_no_longer_than_what_they_answer() {
    nobody(|play, client, service| {
        play.refusals(Refusals::per_second(0));
        let short = udp(client, service);
        let (asked, answer) = (short.bytes().len(), short.port_unreachable().len());
        let mut answered = 0;
        let count = 2_000;
        for _ in 0..count {
            let end = play.ingress(&short);
            if end.is(Refused) {
                answered += 1;
                end.answers(Refused, &short.port_unreachable());
            } else {
                end.stays(AnswerLimit);
            }
        }
        let spent = answered * answer;
        assert!(spent <= count * asked + 4_096, "{answered} answers");
        assert!(spent > count * asked * 9 / 10, "{answered} answers");
    });
}

#[test]
fn the_node_may_be_told_to_answer_nothing() {
    nobody(|play, client, service| {
        let Cast {
            other,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(other, TCP, &[a]);
        play.refusals(Refusals {
            no_endpoint: Manner::Drop.byte(),
            ..Refusals::default()
        });
        play.ingress(&tcp(client, service).syn()).stays(NoBackend);
        play.ingress(&udp(client, service)).stays(NoBackend);
        let segment = tcp(client, other).ack();
        play.ingress(&segment)
            .answers(Resets, &segment.reset(Reset::At(ACKNOWLEDGED)));
        play.refusals(Refusals {
            unknown_flow: Manner::Drop.byte(),
            ..Refusals::default()
        });
        play.ingress(&segment).stays(NoFlow);
        let syn = tcp(client, service).syn();
        play.ingress(&syn)
            .answers(Refused, &syn.reset(Reset::After(SEQUENCE)));
    });
}
