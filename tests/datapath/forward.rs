// SPDX-License-Identifier: MIT OR Apache-2.0
//! The main path: to a backend, and back under the Service's address.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{Forwarded, NotReply, NotService, Replied},
    wire::protocol::{TCP, UDP},
};
use std::{collections::BTreeMap, net::SocketAddr};
use tests::packet::{Frame, opening, tcp, udp};

/// A row for both protocols, with a Service for each of them on the same address and port.
fn both(row: impl Fn(&mut Play<'_>, u8)) {
    play(|play| {
        let Cast {
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[a]);
        play.service(service, UDP, &[a]);
        row(play, TCP);
        row(play, UDP);
    });
}

/// The first answer to an opening packet.
fn answer(protocol: u8, source: SocketAddr, destination: SocketAddr) -> Frame {
    if protocol == TCP {
        tcp(source, destination).syn_ack()
    } else {
        udp(source, destination)
    }
}

#[test]
fn a_new_flow_goes_to_the_backend() {
    both(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.ingress(&opening(protocol, client, service))
            .becomes(Forwarded, &opening(protocol, client, a));
    });
}

#[test]
fn the_reply_comes_from_the_service() {
    both(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.ingress(&opening(protocol, client, service));
        play.egress(&answer(protocol, a, client).payload(b"hello"))
            .becomes(
                Replied,
                &answer(protocol, service, client).payload(b"hello"),
            );
    });
}

#[test]
fn a_known_flow_stays_where_it_is() {
    play(|play| {
        let Cast {
            client,
            service,
            pods,
            ..
        } = play.cast;
        play.service(service, UDP, &pods);
        let first = play.ingress(&udp(client, service)).ends(Forwarded);
        for length in 0..40 {
            play.wait(1);
            let packet = play.ingress(&udp(client, service).payload(&vec![1; length]));
            assert_eq!(packet.ends(Forwarded), first);
        }
        assert_eq!(play.flows(), [1, 0]);
    });
}

#[test]
fn flows_spread_over_the_backends() {
    play(|play| {
        let Cast {
            client,
            service,
            pods,
            ..
        } = play.cast;
        play.service(service, TCP, &pods);
        let mut shares = BTreeMap::<SocketAddr, u32>::new();
        for port in 1..=300 {
            let client = SocketAddr::new(client.ip(), port);
            let [source, pod] = play.ingress(&tcp(client, service).syn()).ends(Forwarded);
            assert_eq!(source, client, "the backend sees the client itself");
            *shares.entry(pod).or_default() += 1;
        }
        assert_eq!(shares.keys().copied().collect::<Vec<_>>(), pods);
        assert!(
            shares.values().all(|share| (60..=140).contains(share)),
            "{shares:?}"
        );
    });
}

#[test]
fn a_syn_sent_again_makes_no_second_flow() {
    play(|play| {
        let Cast {
            client,
            service,
            pods,
            ..
        } = play.cast;
        play.service(service, TCP, &pods);
        let first = play.ingress(&tcp(client, service).syn()).ends(Forwarded);
        for pause in [1, 2, 4, 8, 16] {
            play.wait(pause);
            assert_eq!(
                play.ingress(&tcp(client, service).syn()).ends(Forwarded),
                first
            );
        }
        assert_eq!(play.flows(), [1, 0]);
    });
}

#[test]
fn what_is_no_service_passes() {
    both(|play, protocol| {
        let Cast {
            client,
            service,
            other,
            stranger,
            ..
        } = play.cast;
        let another_port = SocketAddr::new(service.ip(), service.port() + 1);
        for destination in [another_port, other, stranger] {
            play.ingress(&opening(protocol, client, destination))
                .stays(NotService);
        }
        assert_eq!(play.flows(), [0, 0]);
    });
}

#[test]
fn the_protocol_is_part_of_the_service() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, b, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[b]);
        play.ingress(&tcp(client, service).syn()).stays(NotService);
        play.service(service, TCP, &[a]);
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, a).syn());
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, b));
    });
}

#[test]
fn what_is_no_reply_passes() {
    both(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, b, _],
            stranger,
            ..
        } = play.cast;
        play.egress(&answer(protocol, a, client)).stays(NotReply);
        play.ingress(&opening(protocol, client, service));
        play.egress(&answer(protocol, b, client)).stays(NotReply);
        play.egress(&answer(protocol, a, stranger)).stays(NotReply);
        play.egress(&answer(protocol, SocketAddr::new(a.ip(), 1), client))
            .stays(NotReply);
        // A client's packet on its way out is no reply either.
        play.egress(&opening(protocol, client, a)).stays(NotReply);
    });
}

#[test]
fn a_udp_checksum_left_out_stays_out() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        play.ingress(&udp(client, service).no_checksum().payload(b"x"))
            .becomes(Forwarded, &udp(client, a).no_checksum().payload(b"x"));
        play.egress(&udp(a, client).no_checksum())
            .becomes(Replied, &udp(service, client).no_checksum());
    });
}

#[test]
fn a_udp_checksum_never_becomes_none() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        // One of all two-byte payloads makes the sum that the backend sees all ones.
        let mut all_ones = 0;
        for value in 0..=u16::MAX {
            let payload = value.to_be_bytes();
            let forwarded = udp(client, a).payload(&payload);
            let bytes = forwarded.bytes();
            if bytes[bytes.len() - 4..bytes.len() - 2] == [0xff; 2] {
                all_ones += 1;
                play.ingress(&udp(client, service).payload(&payload))
                    .becomes(Forwarded, &forwarded);
            }
        }
        assert!(all_ones > 0);
    });
}
