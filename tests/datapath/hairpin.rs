// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod that dials a Service and is given itself sees the Service as who is calling, and its
//! answers come back to it as everybody's do.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{
        Forwarded, FragmentForwarded, FragmentReplied, HairpinForwarded, HairpinReplied, NoPort,
        NotReply, PortRefused, RelatedForwarded, RelatedReplied, Replied,
    },
    wire::protocol::{SCTP, TCP, UDP},
};
use std::net::SocketAddr;
use tests::packet::{Frame, icmp, opening, sctp, tcp, udp};

/// More than any packet here.
const ALL: usize = 2_000;

/// A pod between two of its ports, and the Service that it dials: whose port, and as whom it is
/// seen to answer.
struct Itself {
    protocol: u8,
    client: SocketAddr,
    service: SocketAddr,
    /// The Service's address, with the port that the pod sees.
    shown: SocketAddr,
    /// The pod, with that port.
    seen: SocketAddr,
    pod: SocketAddr,
}

/// A row for all protocols, with a flow of a pod to itself from this port.
fn itself(port: u16, row: impl Fn(&mut Play<'_>, &Itself)) {
    for protocol in [TCP, UDP, SCTP] {
        play(|play| {
            let Cast {
                service,
                pods: [pod, ..],
                ..
            } = play.cast;
            let client = SocketAddr::new(pod.ip(), port);
            play.service(service, protocol, &[pod]);
            play.addresses(&[service]);
            let flow = dial(play, protocol, client, service, pod);
            row(play, &flow);
        });
    }
}

/// Begins a flow of a pod to itself.
fn dial(
    play: &mut Play<'_>,
    protocol: u8,
    client: SocketAddr,
    service: SocketAddr,
    pod: SocketAddr,
) -> Itself {
    let [seen, to] = if protocol == SCTP {
        play.ingress(&opening(protocol, client, service))
            .ends_as(Forwarded);
        [client, pod]
    } else {
        play.ingress(&opening(protocol, client, service))
            .ends(Forwarded)
    };
    assert_eq!([seen.ip(), client.ip()], [pod.ip(); 2]);
    assert_eq!(to, pod);
    let shown = SocketAddr::new(service.ip(), seen.port());
    Itself {
        protocol,
        client,
        service,
        shown,
        seen,
        pod,
    }
}

/// What a backend answers first.
fn answer(protocol: u8, source: SocketAddr, destination: SocketAddr) -> Frame {
    match protocol {
        TCP => tcp(source, destination).syn_ack(),
        UDP => udp(source, destination),
        _ => sctp(source, destination),
    }
}

/// Both packets go through both hooks.
fn goes_round(play: &mut Play<'_>, flow: &Itself) {
    let Itself {
        protocol,
        client,
        service,
        shown,
        seen,
        pod,
    } = *flow;
    play.egress(&opening(protocol, seen, pod))
        .becomes(HairpinForwarded, &opening(protocol, shown, pod));
    play.ingress(&answer(protocol, pod, shown))
        .becomes(HairpinReplied, &answer(protocol, pod, seen));
    play.egress(&answer(protocol, pod, seen))
        .becomes(Replied, &answer(protocol, service, client));
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    itself(40_000, |play, flow| {
        assert_eq!(flow.seen, flow.client, "nothing was in the way");
        goes_round(play, flow);
        if flow.protocol == TCP {
            let Itself {
                client,
                service,
                shown,
                seen,
                pod,
                ..
            } = *flow;
            for segment in [Frame::ack, Frame::fin, Frame::rst] {
                play.ingress(&segment(tcp(client, service)))
                    .becomes(Forwarded, &segment(tcp(seen, pod)));
                play.egress(&segment(tcp(seen, pod)))
                    .becomes(HairpinForwarded, &segment(tcp(shown, pod)));
            }
        }
    });
}

#[test]
fn a_pod_that_dials_from_the_port_it_serves_sees_another() {
    let port = |family| crate::play::cast(family).pods[0].port();
    assert_eq!(port(4), port(6));
    itself(port(4), |play, flow| {
        if flow.protocol != SCTP {
            assert_ne!(flow.seen, flow.client);
            goes_round(play, flow);
        }
    });
}

#[test]
fn answers_are_never_taken_for_what_is_dialled() {
    for protocol in [TCP, UDP] {
        play(|play| {
            let Cast {
                service,
                pods: [pod, far, _],
                ..
            } = play.cast;
            let client = SocketAddr::new(pod.ip(), 40_000);
            play.service(service, protocol, &[pod]);
            play.service(SocketAddr::new(service.ip(), 40_000), protocol, &[far]);
            play.addresses(&[service]);
            let flow = dial(play, protocol, client, service, pod);
            assert_ne!(flow.seen, client);
            goes_round(play, &flow);
        });
    }
}

#[test]
fn two_ports_of_a_pod_that_dial_each_other_are_told_apart() {
    for protocol in [TCP, UDP] {
        play(|play| {
            let Cast {
                service,
                other,
                pods: [pod, ..],
                ..
            } = play.cast;
            let second = SocketAddr::new(pod.ip(), 40_000);
            play.service(service, protocol, &[pod]);
            play.service(other, protocol, &[second]);
            play.addresses(&[service, other]);
            let one = dial(play, protocol, second, service, pod);
            let another = dial(play, protocol, pod, other, second);
            assert_eq!(one.seen, second);
            assert_ne!(another.seen, pod);
            goes_round(play, &one);
            goes_round(play, &another);
        });
    }
}

#[test]
fn without_ports_to_give_out_such_a_flow_is_refused() {
    play(|play| {
        let Cast {
            service,
            pods: [pod, ..],
            ..
        } = play.cast;
        play.twin.memory.node.port_count = 0;
        play.service(service, UDP, &[pod]);
        play.ingress(&udp(pod, service)).stays(NoPort);
        assert_eq!(play.flows(), [0, 0]);
    });
}

#[test]
fn only_flows_are_turned_round() {
    itself(40_000, |play, flow| {
        let Itself {
            protocol,
            shown,
            seen,
            pod,
            ..
        } = *flow;
        // Another port of the pod's, another pod, and the Service's other address.
        let wrong = SocketAddr::new(pod.ip(), 1);
        play.egress(&opening(protocol, wrong, pod)).stays(NotReply);
        play.ingress(&opening(protocol, wrong, shown))
            .ends_as(PortRefused);
        let [_, far, _] = play.cast.pods;
        let far = SocketAddr::new(far.ip(), pod.port());
        play.ingress(&opening(protocol, far, shown))
            .ends_as(PortRefused);
        let other = play.cast.other;
        play.addresses(&[other]);
        let there = SocketAddr::new(other.ip(), seen.port());
        play.ingress(&opening(protocol, pod, there))
            .ends_as(PortRefused);
        // And when it is over.
        play.wait(300);
        play.egress(&opening(protocol, seen, pod)).stays(NotReply);
        play.ingress(&opening(protocol, pod, shown))
            .ends_as(PortRefused);
    });
}

#[test]
fn a_pod_s_error_about_its_own_packet_reaches_it() {
    itself(40_000, |play, flow| {
        let Itself {
            protocol,
            client,
            service,
            shown,
            seen,
            pod,
        } = *flow;
        if protocol == SCTP {
            return;
        }
        let sent = |source, destination| opening(protocol, source, destination);
        let kind = if pod.is_ipv4() { [3, 3] } else { [1, 4] };
        let between = icmp(kind, pod.ip(), pod.ip()).about(&sent(seen, pod), ALL);
        play.ingress(&icmp(kind, pod.ip(), service.ip()).about(&sent(shown, pod), ALL))
            .becomes(RelatedForwarded, &between);
        play.egress(&between).becomes(
            RelatedReplied,
            &icmp(kind, service.ip(), pod.ip()).about(&sent(client, service), ALL),
        );
    });
}

#[test]
fn fragments_go_round_as_well() {
    play(|play| {
        let Cast {
            service,
            pods: [pod, ..],
            ..
        } = play.cast;
        let client = SocketAddr::new(pod.ip(), 40_000);
        let shown = SocketAddr::new(service.ip(), 40_000);
        play.service(service, UDP, &[pod]);
        play.addresses(&[service]);
        let pieces = |source, destination| {
            let datagram = udp(source, destination).payload(&[7; 200]);
            datagram.pieces(48)
        };
        let first = [Forwarded, HairpinForwarded, HairpinReplied, Replied];
        let later = [
            FragmentForwarded,
            FragmentReplied,
            FragmentForwarded,
            FragmentReplied,
        ];
        let way = [
            [pieces(client, service), pieces(client, pod)],
            [pieces(client, pod), pieces(shown, pod)],
            [pieces(pod, shown), pieces(pod, client)],
            [pieces(pod, client), pieces(service, client)],
        ];
        for (step, [before, after]) in way.iter().enumerate() {
            for (number, (piece, becomes)) in before.iter().zip(after).enumerate() {
                let reason = if number == 0 {
                    first[step]
                } else {
                    later[step]
                };
                let end = if step % 2 == 0 {
                    play.ingress(piece)
                } else {
                    play.egress(piece)
                };
                end.becomes(reason, becomes);
            }
        }
    });
}
