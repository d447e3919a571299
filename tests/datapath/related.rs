// SPDX-License-Identifier: MIT OR Apache-2.0
//! ICMP errors about a flow's packets reach whoever has sent those, and are about what they sent.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{
        self, Extension as ForeignExtension, Forwarded, Malformed, NotRelated, OtherProtocol,
        RelatedForwarded, RelatedFragment, RelatedReplied, Replied,
    },
    wire::protocol::{TCP, UDP},
};
use std::net::{IpAddr, SocketAddr};
use tests::packet::{Extension, Frame, icmp, opening, other, tcp, udp};

/// More than any packet here.
const ALL: usize = 2_000;

/// Types and codes of the errors of a family: not delivered (no port, too big), and the others.
fn kinds(family: SocketAddr) -> &'static [[u8; 2]] {
    if family.is_ipv4() {
        &[[3, 3], [3, 4], [3, 0], [4, 0], [11, 0], [11, 1], [12, 0]]
    } else {
        &[[1, 4], [2, 0], [1, 0], [3, 0], [3, 1], [4, 0]]
    }
}

/// An error from somebody about a packet to whom it was sent by.
fn error(from: impl Into<IpAddr>, to: SocketAddr) -> Frame {
    let [kind, ..] = kinds(to) else {
        panic!("there are kinds");
    };
    icmp(*kind, from.into(), to.ip()).icmp_rest([0, 0, 5, 0])
}

/// A row for both protocols, with a flow whose backend sees another port than the client's own.
fn flow(row: impl Fn(&mut Play<'_>, u8, [SocketAddr; 4])) {
    for protocol in [TCP, UDP] {
        play(|play| {
            let Cast {
                client,
                service,
                other,
                pods: [a, ..],
                ..
            } = play.cast;
            play.service(service, protocol, &[a]);
            play.service(other, protocol, &[a]);
            play.ingress(&opening(protocol, client, other));
            let seen = play.ingress(&opening(protocol, client, service));
            let [seen, pod] = seen.ends(Forwarded);
            assert_ne!(seen, client);
            row(play, protocol, [client, service, seen, pod]);
        });
    }
}

/// A packet with some payload in the middle of a flow.
fn data(protocol: u8, source: SocketAddr, destination: SocketAddr) -> Frame {
    let frame = if protocol == TCP {
        tcp(source, destination).ack()
    } else {
        udp(source, destination)
    };
    frame.payload(b"what the error is about")
}

#[test]
fn an_error_about_what_the_client_was_sent_reaches_the_backend() {
    flow(|play, protocol, [client, service, seen, pod]| {
        let (sent, got) = (data(protocol, pod, seen), data(protocol, service, client));
        for length in [28, 48, ALL] {
            let length = if client.is_ipv4() {
                length
            } else {
                length + 20
            };
            for kind in kinds(client) {
                for from in [client, play.cast.stranger] {
                    play.ingress(&icmp(*kind, from.ip(), service.ip()).about(&got, length))
                        .becomes(
                            RelatedForwarded,
                            &icmp(*kind, from.ip(), pod.ip()).about(&sent, length),
                        );
                }
            }
        }
    });
}

#[test]
fn an_error_about_what_the_client_has_sent_is_about_the_service() {
    flow(|play, protocol, [client, service, seen, pod]| {
        let (sent, got) = (data(protocol, client, service), data(protocol, seen, pod));
        for length in [28, 48, ALL] {
            let length = if client.is_ipv4() {
                length
            } else {
                length + 20
            };
            for kind in kinds(client) {
                // A router keeps its address, the backend becomes the Service.
                let router = play.cast.stranger;
                for (from, becomes) in [(pod, service), (router, router)] {
                    play.egress(&icmp(*kind, from.ip(), seen.ip()).about(&got, length))
                        .becomes(
                            RelatedReplied,
                            &icmp(*kind, becomes.ip(), client.ip()).about(&sent, length),
                        );
                }
            }
        }
    });
}

#[test]
fn a_quotation_may_end_at_any_byte_behind_the_ports() {
    flow(|play, protocol, [client, service, seen, pod]| {
        let header = if client.is_ipv4() { 20 } else { 40 };
        let got = data(protocol, service, client);
        let whole = got.bytes().len() - 14;
        for length in 0..=whole {
            let to_service = error(client.ip(), service).about(&got, length);
            let to_client = error(pod.ip(), client).about(&data(protocol, seen, pod), length);
            if length < header + 8 {
                play.ingress(&to_service).stays(Malformed);
                play.egress(&to_client).stays(Malformed);
                continue;
            }
            // Half of a checksum is left as it is.
            if protocol == TCP && length == header + 17 {
                play.ingress(&to_service).ends_as(RelatedForwarded);
                play.egress(&to_client).ends_as(RelatedReplied);
                continue;
            }
            let sent = data(protocol, pod, seen);
            play.ingress(&to_service).becomes(
                RelatedForwarded,
                &error(client.ip(), pod).about(&sent, length),
            );
            let sent = data(protocol, client, service);
            play.egress(&to_client).becomes(
                RelatedReplied,
                &error(service.ip(), client).about(&sent, length),
            );
        }
    });
}

#[test]
fn an_error_that_is_cut_short_is_left_alone() {
    flow(|play, protocol, [client, service, ..]| {
        let got = data(protocol, service, client);
        let whole = error(client.ip(), service).about(&got, ALL);
        let header = if client.is_ipv4() { 34 } else { 54 };
        // TCP's checksum is the last that is changed.
        let end = header + 8 + (header - 14) + if protocol == TCP { 18 } else { 8 };
        for length in header..end {
            play.ingress(&whole.clone().truncated(length))
                .stays(Malformed);
        }
    });
}

/// Ways to bend a frame of a family that hide no port.
fn bends(family: SocketAddr) -> &'static [fn(Frame) -> Frame] {
    if family.is_ipv4() {
        &[
            |frame| frame.ipv4_options(&[1; 12]),
            |frame| frame.ipv4_options(&[1; 40]),
        ]
    } else {
        &[
            |frame| frame.extension(Extension::HopByHop(14)),
            |frame| {
                frame
                    .extension(Extension::Destination(6))
                    .extension(Extension::Routing(0))
            },
        ]
    }
}

#[test]
fn both_headers_may_have_options() {
    flow(|play, protocol, [client, service, seen, pod]| {
        for bend in bends(client) {
            let got = bend(data(protocol, service, client));
            let sent = bend(data(protocol, pod, seen));
            play.ingress(&error(client.ip(), service).about(&got, ALL))
                .becomes(RelatedForwarded, &error(client.ip(), pod).about(&sent, ALL));
            let got = data(protocol, seen, pod);
            let sent = data(protocol, client, service);
            play.egress(&bend(error(pod.ip(), client).about(&got, ALL)))
                .becomes(
                    RelatedReplied,
                    &bend(error(service.ip(), client).about(&sent, ALL)),
                );
        }
    });
}

#[test]
fn a_first_fragment_shows_its_flow() {
    flow(|play, protocol, [client, service, seen, pod]| {
        let first = |source, destination| data(protocol, source, destination).fragment(0, true);
        play.ingress(&error(client.ip(), service).about(&first(service, client), ALL))
            .becomes(
                RelatedForwarded,
                &error(client.ip(), pod).about(&first(pod, seen), ALL),
            );
    });
}

#[test]
fn a_later_fragment_shows_no_flow() {
    flow(|play, protocol, [client, service, seen, pod]| {
        let got = data(protocol, service, client).fragment(3, true);
        play.ingress(&error(client.ip(), service).about(&got, ALL))
            .stays(RelatedFragment);
        let got = data(protocol, seen, pod).fragment(3, false);
        play.egress(&error(pod.ip(), client).about(&got, ALL))
            .stays(RelatedFragment);
    });
}

#[test]
fn a_checksum_left_out_of_what_is_quoted_stays_out() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        play.ingress(&udp(client, service));
        let got = udp(service, client).no_checksum();
        let sent = udp(a, client).no_checksum();
        play.ingress(&error(client.ip(), service).about(&got, ALL))
            .becomes(RelatedForwarded, &error(client.ip(), a).about(&sent, ALL));
    });
}

#[test]
fn a_forged_error_changes_nothing() {
    flow(|play, protocol, [client, service, seen, pod]| {
        let stranger = play.cast.stranger;
        let about_flow = data(protocol, service, client);
        let other_port = SocketAddr::new(client.ip(), client.port() + 7);
        for (to, about) in [
            // About no flow.
            (service, data(protocol, service, other_port)),
            (service, data(protocol, service, stranger)),
            (pod, data(protocol, pod, client)),
            // Not to whom the quoted packet came from.
            (stranger, about_flow.clone()),
        ] {
            play.ingress(&error(stranger.ip(), to).about(&about, ALL))
                .stays(NotRelated);
        }
        for (to, about) in [
            (client, data(protocol, other_port, pod)),
            (client, data(protocol, client, service)),
            (stranger, data(protocol, seen, pod)),
        ] {
            play.egress(&error(stranger.ip(), to).about(&about, ALL))
                .stays(NotRelated);
        }
        // About the flow: it is delivered, and the flow goes on as it was.
        play.wait(2);
        let before = play.twin.memory.clone();
        play.ingress(&error(stranger.ip(), service).about(&about_flow, ALL))
            .ends_as(RelatedForwarded);
        play.egress(&error(stranger.ip(), client).about(&data(protocol, seen, pod), ALL))
            .ends_as(RelatedReplied);
        assert_eq!(play.twin.memory.v4, before.v4);
        assert_eq!(play.twin.memory.v6, before.v6);
    });
}

#[test]
fn an_error_is_translated_as_long_as_the_flow_is() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        play.ingress(&udp(client, service));
        play.egress(&udp(a, client))
            .becomes(Replied, &udp(service, client));
        play.remove_service(service, UDP);
        // Beyond its time-out of 180 s, but for 60 s more a tombstone.
        play.wait(200);
        let both = |play: &mut Play<'_>, reasons: [Reason; 2]| {
            let about = udp(service, client);
            play.ingress(&error(client.ip(), service).about(&about, ALL))
                .ends_as(reasons[0]);
            let about = udp(client, a);
            play.egress(&error(a.ip(), client).about(&about, ALL))
                .ends_as(reasons[1]);
        };
        both(play, [RelatedForwarded, RelatedReplied]);
        play.wait(60);
        both(play, [NotRelated, NotRelated]);
    });
}

#[test]
fn other_messages_are_left_alone() {
    flow(|play, protocol, [client, service, ..]| {
        let got = data(protocol, service, client);
        // Redirects, echoes, timestamps, neighbour discovery.
        let kinds: [u8; 6] = if client.is_ipv4() {
            [0, 5, 8, 9, 13, 30]
        } else {
            [0, 5, 127, 128, 129, 137]
        };
        for kind in kinds {
            let message = icmp([kind, 0], client.ip(), service.ip()).about(&got, ALL);
            play.ingress(&message).stays(OtherProtocol);
            play.egress(&message).stays(OtherProtocol);
        }
        // Of the other family, by number.
        let number = if client.is_ipv4() { 58 } else { 1 };
        let message = other(number, client.ip(), service.ip()).payload(&[3; 80]);
        play.ingress(&message).stays(OtherProtocol);
    });
}

#[test]
fn what_cannot_be_a_flows_packet_is_left_alone() {
    flow(|play, protocol, [client, service, ..]| {
        let about = |frame: Frame| error(client.ip(), service).about(&frame, ALL);
        let got = || data(protocol, service, client);
        play.ingress(&about(
            other(47, service.ip(), client.ip()).payload(&[0; 40]),
        ))
        .stays(NotRelated);
        play.ingress(&about(got().claims_version(7)))
            .stays(Malformed);
        if client.is_ipv4() {
            play.ingress(&about(got().claims_header_words(3)))
                .stays(Malformed);
            play.ingress(&about(got().claims_length(27)))
                .stays(Malformed);
        } else {
            play.ingress(&about(got().extension(Extension::Routing(1))))
                .stays(ForeignExtension);
            play.ingress(&about(got().extension(Extension::Authentication(1))))
                .stays(NotRelated);
        }
    });
}
