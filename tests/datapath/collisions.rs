// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two flows that would look the same to a backend: the same client and port, by way of two
//! Services, or of a Service and of the pod itself.

use crate::play::{Cast, Play, done, play};
use lb_common::{
    verdict::Reason::{Beside, Forwarded, NoPort, NotReply, NotService, Replied},
    wire::{
        Node,
        protocol::{TCP, UDP},
    },
};
use std::net::SocketAddr;
use tests::packet::{Frame, opening, tcp, udp};

/// Lets both Services lead to these pods, and dials both from one port.
fn dial_both(play: &mut Play<'_>, protocol: u8, pods: &[SocketAddr]) -> [[SocketAddr; 2]; 2] {
    let Cast {
        client,
        service,
        other,
        ..
    } = play.cast;
    play.service(service, protocol, pods);
    play.service(other, protocol, pods);
    [service, other].map(|to| play.ingress(&opening(protocol, client, to)).ends(Forwarded))
}

/// Each reply goes back to the Service that was dialled, at the client's own port.
fn replies_are_told_apart(play: &mut Play<'_>, protocol: u8, seen: [[SocketAddr; 2]; 2]) {
    let Cast {
        client,
        service,
        other,
        ..
    } = play.cast;
    assert_ne!(seen[0], seen[1]);
    let answer = |source, destination| -> Frame {
        if protocol == TCP {
            tcp(source, destination).syn_ack()
        } else {
            udp(source, destination)
        }
    };
    for ([source, pod], dialled) in seen.into_iter().zip([service, other]) {
        play.egress(&answer(pod, source))
            .becomes(Replied, &answer(dialled, client));
    }
}

#[test]
fn one_backend_sees_another_source_port() {
    for protocol in [TCP, UDP] {
        play(|play| {
            let Cast {
                client,
                pods: [a, _, _],
                ..
            } = play.cast;
            let seen = dial_both(play, protocol, &[a]);
            let [[first, _], [second, _]] = seen;
            assert_eq!(first, client, "nothing was in the way of the first");
            assert_eq!(second.ip(), client.ip());
            let Node {
                port_first,
                port_count,
                ..
            } = Node::default();
            assert!((port_first..=port_first + (port_count - 1)).contains(&second.port()));
            replies_are_told_apart(play, protocol, seen);
        });
    }
}

#[test]
fn another_backend_comes_before_another_port() {
    play(|play| {
        let Cast { client, pods, .. } = play.cast;
        let mut own_ports = 0;
        for port in 1..=64 {
            play.twin.reset().expect("the maps are emptied");
            play.cast.client = SocketAddr::new(client.ip(), port);
            let seen = dial_both(play, UDP, &pods);
            replies_are_told_apart(play, UDP, seen);
            own_ports += u32::from(seen[1][0].port() == port);
        }
        assert!(own_ports >= 60, "{own_ports} of 64 kept their port");
    });
}

#[test]
fn later_packets_keep_the_other_port() {
    play(|play| {
        let Cast {
            client,
            other,
            pods: [a, _, _],
            ..
        } = play.cast;
        let [_, [source, _]] = dial_both(play, TCP, &[a]);
        play.egress(&tcp(a, source).syn_ack())
            .becomes(Replied, &tcp(other, client).syn_ack());
        for segment in [Frame::ack, Frame::fin, Frame::rst] {
            play.ingress(&segment(tcp(client, other)))
                .becomes(Forwarded, &segment(tcp(source, a)));
        }
        assert_eq!(play.flows(), [1, 1], "the second one is established");
    });
}

#[test]
fn a_port_is_free_again_when_its_flow_is_gone() {
    play(|play| {
        let Cast {
            client,
            service,
            other,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        play.service(other, UDP, &[a]);
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, a));
        // Unanswered for 30 s, then a tombstone for 60 s.
        play.wait(89);
        let [source, _] = play.ingress(&udp(client, other)).ends(Forwarded);
        assert_ne!(source, client);
        play.wait(1);
        let newcomer = &udp(client, service);
        play.ingress(newcomer).becomes(Forwarded, &udp(client, a));
    });
    play(|play| {
        let Cast {
            client,
            service,
            other,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        play.service(other, UDP, &[a]);
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, a));
        play.wait(90);
        play.ingress(&udp(client, other))
            .becomes(Forwarded, &udp(client, a));
    });
}

#[test]
fn without_ports_to_give_out_the_second_flow_is_refused() {
    play(|play| {
        let Cast {
            client,
            service,
            other,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.twin.memory.node.port_count = 0;
        play.service(service, UDP, &[a]);
        play.service(other, UDP, &[a]);
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, a));
        play.ingress(&udp(client, other)).stays(NoPort);
        assert_eq!(play.flows(), [1, 0]);
    });
}

#[test]
fn a_pod_that_is_dialled_itself_as_well_sees_another_source_port() {
    for protocol in [TCP, UDP] {
        play(|play| {
            let Cast {
                client,
                service,
                pods: [a, b, _],
                ..
            } = play.cast;
            let answer = |source, destination| {
                if protocol == TCP {
                    tcp(source, destination).syn_ack()
                } else {
                    udp(source, destination)
                }
            };
            play.service(service, protocol, &[a]);
            play.ingress(&opening(protocol, client, a))
                .stays(NotService);
            play.ingress(&opening(protocol, client, service))
                .becomes(Forwarded, &opening(protocol, client, a));
            // Another pod is nobody's concern, nor is what has begun before.
            play.ingress(&opening(protocol, client, b))
                .stays(NotService);
            play.ingress(&tcp(client, a).ack()).stays(NotService);

            let [source, to] = play.ingress(&opening(protocol, client, a)).ends(Forwarded);
            assert_eq!(to, a);
            assert_eq!(source.ip(), client.ip());
            assert_ne!(source, client);
            play.egress(&answer(a, source))
                .becomes(Replied, &answer(a, client));
            play.egress(&answer(a, client))
                .becomes(Replied, &answer(service, client));
            // It goes on so, also when the Service is no more.
            play.remove_service(service, protocol);
            let later = if protocol == TCP {
                Frame::ack
            } else {
                |frame| frame
            };
            let goes_on = |source, destination| later(answer(source, destination));
            play.ingress(&goes_on(client, a))
                .becomes(Forwarded, &goes_on(source, a));
        });
    }
}

#[test]
fn a_pod_is_dialled_as_it_is_when_the_service_s_flow_is_gone() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        play.ingress(&udp(client, service));
        play.wait(90);
        play.ingress(&udp(client, a)).stays(NotService);
    });
}

#[test]
fn without_ports_to_give_out_a_pod_is_not_dialled_beside_a_service() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.twin.memory.node.port_count = 0;
        play.service(service, UDP, &[a]);
        play.ingress(&udp(client, service));
        play.ingress(&udp(client, a)).stays(NoPort);
    });
}

/// The client has a connection to the pod itself, and dials a Service from the same port.
fn beside_a_connection(row: impl Fn(&mut Play<'_>, SocketAddr, SocketAddr, SocketAddr)) {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[a]);
        for (from, to, segment) in [
            (client, a, tcp(client, a).syn()),
            (a, client, tcp(a, client).syn_ack()),
            (client, a, tcp(client, a).ack()),
        ] {
            let reason = if from == client { NotService } else { NotReply };
            let end = if to == a {
                play.ingress(&segment)
            } else {
                play.egress(&segment)
            };
            end.stays(reason);
        }
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, a).syn());
        row(play, client, service, a);
    });
}

#[test]
fn a_connection_that_was_there_before_goes_on_and_the_service_s_gets_another_port() {
    beside_a_connection(|play, client, service, pod| {
        // To the pod, the SYN is of the connection that it has.
        for segment in [Frame::ack, Frame::fin] {
            play.egress(&segment(tcp(pod, client))).stays(Beside);
            play.ingress(&tcp(client, pod).ack()).stays(NotService);
        }
        let [seen, to] = play.ingress(&tcp(client, service).syn()).ends(Forwarded);
        assert_eq!((to, seen.ip()), (pod, client.ip()));
        assert_ne!(seen, client);
        assert_eq!(play.flows(), [1, 0], "the first try is forgotten");
        play.egress(&tcp(pod, seen).syn_ack())
            .becomes(Replied, &tcp(service, client).syn_ack());
        play.ingress(&tcp(client, service).ack())
            .becomes(Forwarded, &tcp(seen, pod).ack());
        // Both go on.
        play.egress(&tcp(pod, client).ack()).stays(NotReply);
        play.egress(&tcp(pod, seen).ack())
            .becomes(Replied, &tcp(service, client).ack());
    });
}

#[test]
fn a_pod_that_answers_the_syn_has_no_other_connection() {
    for answer in [Frame::syn_ack, |frame: Frame| frame.rst().ack()] {
        beside_a_connection(|play, client, service, pod| {
            // It had: it has ended meanwhile, and its port is free.
            play.egress(&answer(tcp(pod, client)))
                .becomes(Replied, &answer(tcp(service, client)));
            play.egress(&tcp(pod, client).ack())
                .becomes(Replied, &tcp(service, client).ack());
        });
    }
}

#[test]
fn a_syn_that_somebody_forges_ends_no_connection_that_has_met_another() {
    beside_a_connection(|play, client, service, pod| {
        play.egress(&tcp(pod, client).ack()).stays(Beside);
        play.egress(&tcp(pod, client).syn_ack())
            .becomes(Replied, &tcp(service, client).syn_ack());
        for flows in [[1, 0], [0, 1]] {
            play.ingress(&tcp(client, service).syn())
                .becomes(Forwarded, &tcp(client, pod).syn());
            assert_eq!(play.flows(), flows);
            play.ingress(&tcp(client, service).ack())
                .becomes(Forwarded, &tcp(client, pod).ack());
        }
    });
}

#[test]
fn late_segments_of_an_earlier_flow_are_not_taken_for_another_connection_s() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[a]);
        play.ingress(&tcp(client, service).syn());
        play.egress(&tcp(a, client).rst().ack())
            .becomes(Replied, &tcp(service, client).rst().ack());
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, a).syn());
        play.egress(&tcp(a, client).ack())
            .becomes(Replied, &tcp(service, client).ack());
    });
}

#[test]
fn without_ports_to_give_out_a_service_is_not_dialled_beside_a_pod() {
    beside_a_connection(|play, client, service, pod| {
        play.egress(&tcp(pod, client).ack()).stays(Beside);
        play.twin.memory.node.port_count = 0;
        done(play.twin.copy());
        play.ingress(&tcp(client, service).syn()).stays(NoPort);
        assert_eq!(play.flows(), [0, 0]);
    });
}

#[test]
fn forged_syns_make_no_earlier_flow_of_a_connection() {
    beside_a_connection(|play, client, service, pod| {
        play.ingress(&tcp(client, service).rst())
            .becomes(Forwarded, &tcp(client, pod).rst());
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, pod).syn());
        play.egress(&tcp(pod, client).ack()).stays(Beside);
    });
}
