// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fragments follow the first one of their datagram, and nobody else.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{
        Foreign, Forwarded, Fragment, FragmentEarly, FragmentForwarded, FragmentReplied,
        FragmentShort, NoBackend, NotReply, NotService, Replied, UnknownPort,
    },
    wire::{
        Manner, Refusals, Takeover,
        protocol::{TCP, UDP},
    },
};
use std::net::SocketAddr;
use tests::packet::{Extension, Frame, icmp, other, sctp, tcp, udp};

/// Bytes of a fragment.
const SIZE: usize = 48;

/// A datagram of several fragments.
fn datagram(protocol: u8, source: SocketAddr, destination: SocketAddr) -> Frame {
    let payload: Vec<u8> = (0..=200).collect();
    let frame = if protocol == TCP {
        tcp(source, destination).syn()
    } else {
        udp(source, destination)
    };
    frame.payload(&payload)
}

/// A row for both protocols, with a Service of one pod whose address is known to be one.
fn served(row: impl Fn(&mut Play<'_>, u8)) {
    for protocol in [TCP, UDP] {
        play(|play| {
            let Cast {
                service,
                pods: [a, ..],
                ..
            } = play.cast;
            play.service(service, protocol, &[a]);
            play.service(SocketAddr::new(service.ip(), 0), 0, &[]);
            row(play, protocol);
        });
    }
}

/// Each fragment of a client's datagram becomes that of one to the pod.
fn all_are_forwarded(play: &mut Play<'_>, to_service: &Frame, to_pod: &Frame) {
    let pieces = to_service.pieces(SIZE).into_iter().zip(to_pod.pieces(SIZE));
    for (number, (piece, becomes)) in pieces.enumerate() {
        let reason = if number == 0 {
            Forwarded
        } else {
            FragmentForwarded
        };
        play.ingress(&piece).becomes(reason, &becomes);
    }
}

#[test]
fn fragments_in_order_become_those_of_the_translated_datagram() {
    served(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        // Also with options in front, and behind IPv6's fragment header.
        let bends: &[fn(Frame) -> Frame] = if client.is_ipv4() {
            &[|frame| frame, |frame| frame.ipv4_options(&[1; 8])]
        } else {
            &[
                |frame| frame,
                |frame| frame.extension(Extension::HopByHop(14)),
            ]
        };
        for bend in bends {
            let [to_service, to_pod] = [service, a].map(|to| bend(datagram(protocol, client, to)));
            all_are_forwarded(play, &to_service, &to_pod);
        }
        let answer = |from| datagram(protocol, from, client);
        let pieces = answer(a).pieces(SIZE).into_iter();
        for (number, (piece, becomes)) in pieces.zip(answer(service).pieces(SIZE)).enumerate() {
            let reason = if number == 0 {
                Replied
            } else {
                FragmentReplied
            };
            play.egress(&piece).becomes(reason, &becomes);
        }
    });
}

#[test]
fn an_extension_header_may_be_behind_the_fragment_header() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        if client.is_ipv4() {
            return;
        }
        play.service(service, UDP, &[a]);
        let first = |to| {
            let frame = udp(client, to).payload(&[7; 64]);
            frame.fragment(0, true).extension(Extension::Destination(6))
        };
        play.ingress(&first(service)).becomes(Forwarded, &first(a));
        // Destination options come next, so later fragments say that they hold those.
        let later = |to: SocketAddr| other(60, client.ip(), to.ip()).payload(&[8; 40]);
        play.ingress(&later(service).fragment(10, false))
            .becomes(FragmentForwarded, &later(a).fragment(10, false));
    });
}

#[test]
fn later_fragments_that_come_first_are_dropped_and_all_may_come_twice() {
    served(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        let pieces = datagram(protocol, client, service).pieces(SIZE);
        let translated = datagram(protocol, client, a).pieces(SIZE);
        let (first, later) = (&pieces[0], &pieces[1..]);
        for piece in later.iter().rev() {
            play.ingress(piece).stays(FragmentEarly);
        }
        for _twice in 0..2 {
            play.ingress(first).becomes(Forwarded, &translated[0]);
            for (piece, becomes) in later.iter().zip(&translated[1..]) {
                play.ingress(piece).becomes(FragmentForwarded, becomes);
            }
        }
        assert_eq!(play.flows().iter().sum::<usize>(), 1);
    });
}

#[test]
fn fragments_to_who_is_no_service_pass() {
    served(|play, protocol| {
        let Cast {
            client,
            stranger,
            pods: [a, ..],
            ..
        } = play.cast;
        for to in [stranger, a] {
            let pieces = datagram(protocol, client, to).pieces(SIZE);
            for piece in pieces.iter().skip(1).rev() {
                play.ingress(piece).stays(Fragment);
                play.egress(piece).stays(Fragment);
            }
            play.ingress(&pieces[0]).stays(NotService);
            play.egress(&pieces[0]).stays(NotReply);
            play.ingress(&pieces[1]).stays(Fragment);
            play.egress(&pieces[1]).stays(Fragment);
        }
    });
}

#[test]
fn what_was_learnt_is_used_for_a_while() {
    served(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        let pieces = datagram(protocol, client, service).pieces(SIZE);
        let translated = datagram(protocol, client, a).pieces(SIZE);
        play.ingress(&pieces[0]).becomes(Forwarded, &translated[0]);
        play.wait(29);
        play.ingress(&pieces[1])
            .becomes(FragmentForwarded, &translated[1]);
        play.wait(1);
        play.ingress(&pieces[2]).stays(FragmentEarly);
    });
}

#[test]
fn the_next_datagram_of_a_number_goes_its_own_way() {
    served(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, b, _],
            ..
        } = play.cast;
        // Another port of the same address leads to another pod, a third one to none, a fourth is
        // not there.
        let port = |more| SocketAddr::new(service.ip(), service.port() + more);
        play.service(port(1), protocol, &[b]);
        play.service(port(2), protocol, &[]);
        for (to, pod) in [(service, a), (port(1), b), (service, a)] {
            let to_service = datagram(protocol, client, to);
            all_are_forwarded(play, &to_service, &datagram(protocol, client, pod));
        }
        play.refusals(Refusals {
            no_endpoint: Manner::Drop.byte(),
            unknown_port: Manner::Drop.byte(),
            ..Refusals::default()
        });
        for (to, reason) in [(port(2), NoBackend), (port(3), UnknownPort)] {
            let known = datagram(protocol, client, service);
            all_are_forwarded(play, &known, &datagram(protocol, client, a));
            let pieces = datagram(protocol, client, to).pieces(SIZE);
            play.ingress(&pieces[0]).stays(reason);
            play.ingress(&pieces[1]).stays(FragmentEarly);
        }
    });
}

#[test]
fn datagrams_are_told_apart() {
    served(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        let number = |to, number| datagram(protocol, client, to).identified(number);
        all_are_forwarded(play, &number(service, 1), &number(a, 1));
        let pieces = number(service, 2).pieces(SIZE);
        play.ingress(&pieces[1]).stays(FragmentEarly);
        let neighbour = SocketAddr::new(play.cast.pods[2].ip(), client.port());
        let pieces = datagram(protocol, neighbour, service).identified(1);
        play.ingress(&pieces.pieces(SIZE)[1]).stays(FragmentEarly);
        // IPv4 gives each protocol numbers of its own.
        let other_protocol = if protocol == TCP { UDP } else { TCP };
        let later = datagram(other_protocol, client, service).identified(1);
        let end = play.ingress(&later.pieces(SIZE)[1]);
        if client.is_ipv4() {
            end.stays(FragmentEarly);
        } else {
            end.ends_as(FragmentForwarded);
        }
    });
}

#[test]
fn a_reply_is_not_translated_where_it_comes_in() {
    served(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        let to_service = datagram(protocol, client, service);
        all_are_forwarded(play, &to_service, &datagram(protocol, client, a));
        let answer = datagram(protocol, a, client).pieces(SIZE);
        play.egress(&answer[0]).ends_as(Replied);
        // The next one comes in at the pod's edge, when the first has left at the client's.
        play.ingress(&answer[1]).stays(Fragment);
        play.egress(&answer[1]).ends_as(FragmentReplied);
    });
}

#[test]
fn later_fragments_of_a_reply_that_come_first_are_dropped_once_that_is_known() {
    served(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        let to_service = datagram(protocol, client, service);
        all_are_forwarded(play, &to_service, &datagram(protocol, client, a));
        let number = |from, number| {
            let answer = datagram(protocol, from, client).identified(number);
            answer.pieces(SIZE)
        };
        // Nobody knows yet that the pod answers in pieces.
        let (answer, seen) = (number(a, 1), number(service, 1));
        play.egress(&answer[1]).stays(Fragment);
        play.egress(&answer[0]).becomes(Replied, &seen[0]);
        let (answer, seen) = (number(a, 2), number(service, 2));
        play.egress(&answer[2]).stays(FragmentEarly);
        play.egress(&answer[0]).becomes(Replied, &seen[0]);
        play.egress(&answer[2]).becomes(FragmentReplied, &seen[2]);
        // What it sends of its own accord still arrives.
        let own = number(SocketAddr::new(a.ip(), a.port() + 1), 3);
        play.egress(&own[0]).stays(NotReply);
        play.egress(&own[1]).stays(FragmentReplied);
        let other = SocketAddr::new(play.cast.pods[1].ip(), a.port());
        play.egress(&number(other, 4)[1]).stays(Fragment);
        play.wait(30);
        play.egress(&number(a, 5)[1]).stays(Fragment);
    });
}

#[test]
fn a_first_fragment_without_its_ports_is_dropped() {
    served(|play, protocol| {
        let Cast {
            client,
            service,
            stranger,
            ..
        } = play.cast;
        // RFC 1858: flags in the second fragment. UDP's header fits the smallest fragment, so it
        // takes one that lies.
        let first = |to: SocketAddr, length: usize| {
            let whole = datagram(protocol, client, to).pieces(SIZE);
            let headers = if client.is_ipv4() { 20 } else { 8 };
            let claimed = u16::try_from(headers + length).expect("short");
            whole[0].clone().claims_length(claimed)
        };
        let header = if protocol == TCP { 20 } else { 8 };
        for length in 0..header {
            play.ingress(&first(service, length)).stays(FragmentShort);
            play.ingress(&first(stranger, length)).stays(Fragment);
            play.egress(&first(service, length)).stays(Fragment);
        }
        // RFC 7112: all headers are in the first fragment.
        if client.is_ipv6() {
            let chain = |to: SocketAddr| {
                let frame = other(60, client.ip(), to.ip()).fragment(0, true);
                frame.payload(&[])
            };
            play.ingress(&chain(service)).stays(FragmentShort);
            play.ingress(&chain(stranger)).stays(Fragment);
        }
        let later = datagram(protocol, client, service).pieces(SIZE);
        play.ingress(&later[1]).stays(FragmentEarly);
    });
}

#[test]
fn fragments_of_other_protocols_to_strangers_pass() {
    play(|play| {
        let Cast {
            client, stranger, ..
        } = play.cast;
        let kind = if client.is_ipv4() { [8, 0] } else { [128, 0] };
        let echo = icmp(kind, client.ip(), stranger.ip()).payload(&[5; 100]);
        for piece in echo.pieces(SIZE) {
            play.ingress(&piece).passes();
            play.egress(&piece).passes();
        }
    });
}

#[test]
fn a_datagram_that_is_left_to_the_host_is_left_to_it_whole() {
    served(|play, protocol| {
        let Cast {
            client, service, ..
        } = play.cast;
        play.takeover(Takeover::Observing);
        let pieces = datagram(protocol, client, service).pieces(SIZE);
        for (number, piece) in pieces.iter().enumerate() {
            play.ingress(piece).stays(if number == 0 {
                Foreign
            } else {
                FragmentForwarded
            });
        }
    });
}

#[test]
fn what_else_a_pod_sends_in_fragments_arrives() {
    served(|play, protocol| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        let to_service = datagram(protocol, client, service);
        all_are_forwarded(play, &to_service, &datagram(protocol, client, a));
        let answer = datagram(protocol, a, client).pieces(SIZE);
        play.egress(&answer[0]).ends_as(Replied);
        let kind = if client.is_ipv4() { [0, 0] } else { [129, 0] };
        let echo = icmp(kind, a.ip(), client.ip()).payload(&[5; 100]);
        let own = sctp(a, client).payload(&[5; 100]);
        for (number, datagram) in [(7, echo), (8, own)] {
            for piece in datagram.identified(number).pieces(SIZE) {
                play.egress(&piece).passes();
            }
        }
    });
}
