// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients from outside: which entry is theirs, who is let in, who is shown to backends as the
//! node, and who is not who they say.

use crate::{
    play::{Cast, Play, play},
    twin::LOOPBACK,
};
use lb_common::{
    verdict::Reason,
    wire::{
        Service,
        protocol::{SCTP, TCP, UDP},
    },
};
use std::net::{IpAddr, SocketAddr};
use tests::packet::{Frame, icmp, opening, tcp, udp};

const PROTOCOLS: [u8; 3] = [TCP, UDP, SCTP];

/// By which packets of rows come in, once it is an uplink.
fn uplink(play: &mut Play<'_>) {
    let (v4, v6) = ("192.0.2.10", "2001:db8::10");
    let addresses = [v4, v6].map(|text| text.parse().expect("an address"));
    play.twin.memory.add_uplink(LOOPBACK, addresses);
    play.copy();
}

/// The node's end towards backends elsewhere.
fn node(cast: &Cast) -> SocketAddr {
    let address: IpAddr = if cast.client.is_ipv4() {
        "192.0.2.10"
    } else {
        "2001:db8::10"
    }
    .parse()
    .expect("an address");
    SocketAddr::new(address, 61_234)
}

#[test]
fn clients_from_outside_may_have_an_entry_of_their_own() {
    for (is_outside, has_entry, pod) in [
        (false, false, 0),
        (false, true, 0),
        (true, true, 1),
        // Not written yet, or taken away first.
        (true, false, 0),
    ] {
        for protocol in PROTOCOLS {
            play(|play| {
                let cast = play.cast;
                play.service(cast.service, protocol, &cast.pods[..1]);
                play.flags(cast.service, protocol, Service::SPLIT);
                if has_entry {
                    play.outside(cast.service, protocol, &cast.pods[1..2]);
                }
                if is_outside {
                    uplink(play);
                }
                play.ingress(&opening(protocol, cast.client, cast.service))
                    .becomes(
                        Reason::Forwarded,
                        &opening(protocol, cast.client, cast.pods[pod]),
                    );
            });
        }
    }
}

#[test]
fn only_who_is_in_a_range_is_let_in() {
    for (ranges, is_admitted) in [
        (&[][..], false),
        (&["10.1.0.8/29", "fd00:1::8/125"], true),
        (&["10.1.0.9/32", "fd00:1::9/128"], true),
        (&["0.0.0.0/0", "::/0"], true),
        (&["10.1.0.10/31", "fd00:1::a/127"], false),
        (
            &[
                "10.1.0.16/28",
                "fd00:1::10/124",
                "10.1.0.0/24",
                "fd00:1::/64",
            ],
            true,
        ),
    ] {
        // Another Service's, whose number has more bits in common with this one's than not.
        for number in [1_u32, 0, 3] {
            play(|play| {
                let cast = play.cast;
                play.service(cast.service, TCP, &cast.pods[..1]);
                play.flags(cast.service, TCP, Service::RANGES);
                let ranges = ranges.iter().map(|text| text.parse().expect("a range"));
                play.twin.memory.admitted = ranges.map(|range| (number, range)).collect();
                play.copy();
                let end = play.ingress(&tcp(cast.client, cast.service).syn());
                if is_admitted && number == 1 {
                    end.ends_as(Reason::Forwarded);
                } else {
                    end.stays(Reason::NotAdmitted);
                }
            });
        }
    }
}

#[test]
fn who_was_let_in_stays() {
    play(|play| {
        let cast = play.cast;
        play.service(cast.service, TCP, &cast.pods[..1]);
        play.ingress(&tcp(cast.client, cast.service).syn())
            .ends_as(Reason::Forwarded);
        play.flags(cast.service, TCP, Service::RANGES);
        play.ingress(&tcp(cast.client, cast.service).ack())
            .ends_as(Reason::Forwarded);
    });
}

#[test]
fn a_backend_elsewhere_sees_the_node() {
    for protocol in PROTOCOLS {
        play(|play| {
            let (cast, node) = (play.cast, node(&play.cast));
            let pod = cast.pods[0];
            let memory = &mut play.twin.memory;
            memory.add_masquerade(cast.client, pod, node, protocol);
            play.copy();
            let asked = opening(protocol, cast.client, pod);
            play.egress(&asked)
                .becomes(Reason::Masqueraded, &opening(protocol, node, pod));
            let answer = opening(protocol, pod, node);
            play.ingress(&answer)
                .becomes(Reason::Unmasked, &opening(protocol, pod, cast.client));
            // Each at its own hook, and with its own ports.
            play.ingress(&asked).stays(Reason::NotService);
            play.egress(&answer).stays(Reason::NotReply);
            let other = SocketAddr::new(node.ip(), node.port() + 1);
            play.ingress(&opening(protocol, pod, other))
                .stays(Reason::NotService);
        });
    }
}

#[test]
fn fragments_follow_the_first_one_to_a_backend_elsewhere_and_back() {
    play(|play| {
        let (cast, node) = (play.cast, node(&play.cast));
        let pod = cast.pods[0];
        play.twin.memory.add_masquerade(cast.client, pod, node, UDP);
        play.copy();
        let pieces = |from, to| udp(from, to).payload(&[7; 100]).pieces(48);
        let sent = pieces(cast.client, pod).into_iter();
        for (number, (piece, becomes)) in sent.zip(pieces(node, pod)).enumerate() {
            let end = play.egress(&piece);
            end.becomes(
                [Reason::Masqueraded, Reason::FragmentReplied][number.min(1)],
                &becomes,
            );
        }
        let answered = pieces(pod, node).into_iter();
        for (number, (piece, becomes)) in answered.zip(pieces(pod, cast.client)).enumerate() {
            let end = play.ingress(&piece);
            end.becomes(
                [Reason::Unmasked, Reason::FragmentForwarded][number.min(1)],
                &becomes,
            );
        }
    });
}

#[test]
fn a_masquerade_goes_with_its_flow() {
    play(|play| {
        let (cast, node) = (play.cast, node(&play.cast));
        let pod = cast.pods[0];
        play.service(cast.service, UDP, &[pod]);
        let asked = udp(cast.client, cast.service);
        play.ingress(&asked).ends_as(Reason::Forwarded);
        play.twin.memory.add_masquerade(cast.client, pod, node, UDP);
        // And one whose flow was never there, or has been evicted.
        let other = SocketAddr::new(node.ip(), node.port() + 1);
        play.twin
            .memory
            .add_masquerade(cast.stranger, pod, other, UDP);
        play.copy();
        play.sweep();
        assert_eq!(play.masks(), 2, "the flow's two halves");
        // 30 s unanswered, 60 s a tombstone.
        play.wait(89);
        play.sweep();
        assert_eq!(play.masks(), 2);
        play.wait(2);
        play.sweep();
        assert_eq!(play.masks(), 0);
    });
}

#[test]
fn sources_that_nobody_outside_has_are_dropped() {
    play(|play| {
        let cast = play.cast;
        play.service(cast.service, TCP, &cast.pods[..1]);
        play.service(cast.other, TCP, &cast.pods[..1]);
        play.addresses(&[cast.service, cast.other]);
        let forged = [
            tcp(cast.other, cast.service).syn(),
            tcp(cast.other, cast.stranger).syn_ack(),
            udp(cast.service, cast.pods[1]),
        ];
        uplink(play);
        for frame in &forged {
            play.ingress(frame).stays(Reason::Spoofed);
        }
        // A pod's link: there, one's answer to itself looks like that.
        play.twin.memory.uplinks.clear();
        play.copy();
        for frame in &forged[1..] {
            play.ingress(frame).stays(Reason::NotService);
        }
    });
}

#[test]
fn errors_pass_a_masquerade_as_their_packets_do() {
    play(|play| {
        let (cast, node) = (play.cast, node(&play.cast));
        let (client, pod, router) = (cast.client, cast.pods[0], cast.stranger.ip());
        play.twin.memory.add_masquerade(client, pod, node, UDP);
        play.copy();
        let kind = if client.is_ipv4() { [3, 4] } else { [2, 0] };
        let error = |from: IpAddr, to: SocketAddr| icmp(kind, from, to.ip());
        let data = |from, to| udp(from, to).payload(b"too much");
        // A router's about what the backend was sent.
        let about = |from, to, sent: &Frame| error(from, to).about(sent, 200);
        play.ingress(&about(router, node, &data(node, pod)))
            .becomes(
                Reason::RelatedForwarded,
                // The router may be on this side as well, and takes nothing from itself.
                &about(pod.ip(), client, &data(client, pod)),
            );
        // The client's, and a router's, about what the backend has sent.
        for from in [client.ip(), router] {
            play.egress(&about(from, pod, &data(pod, client))).becomes(
                Reason::RelatedForwarded,
                &about(node.ip(), pod, &data(pod, node)),
            );
        }
    });
}
