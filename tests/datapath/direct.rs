// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod that is dialled itself as well, from the port of a flow by way of a Service: such a flow
//! lives as long as its client wants, and what a pod answers begins none.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{Forwarded, NotReply, NotService, Replied},
    wire::{
        BackendState::{Draining, Free, Quiet},
        protocol::{TCP, UDP},
    },
};
use std::net::SocketAddr;
use tests::packet::{Frame, opening, tcp, udp};

/// A row with a flow to the pod beside that to its Service: the client, the pod, and the port that
/// the pod sees.
fn beside(protocol: u8, row: impl Fn(&mut Play<'_>, [SocketAddr; 3])) {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        play.service(service, protocol, &[a]);
        play.ingress(&opening(protocol, client, service))
            .becomes(Forwarded, &opening(protocol, client, a));
        let [seen, to] = play.ingress(&opening(protocol, client, a)).ends(Forwarded);
        assert_eq!((to, seen.ip()), (a, client.ip()));
        assert_ne!(seen, client);
        row(play, [client, a, seen]);
    });
}

#[test]
fn a_pod_that_leaves_its_service_is_dialled_as_before() {
    for protocol in [TCP, UDP] {
        for state in [Draining, Quiet, Free] {
            beside(protocol, |play, [client, pod, seen]| {
                play.remove_service(play.cast.service, protocol);
                play.state(pod, protocol, state);
                for _again in 0..3 {
                    play.ingress(&opening(protocol, client, pod))
                        .becomes(Forwarded, &opening(protocol, seen, pod));
                }
                assert_eq!(play.flows().iter().sum::<usize>(), 2);
            });
        }
    }
}

#[test]
fn a_pod_is_dialled_again_at_once_when_a_connection_has_ended() {
    beside(TCP, |play, [client, pod, seen]| {
        let refuses = |frame: Frame| frame.rst().ack();
        play.egress(&refuses(tcp(pod, seen)))
            .becomes(Replied, &refuses(tcp(pod, client)));
        play.ingress(&tcp(client, pod).syn())
            .becomes(Forwarded, &tcp(seen, pod).syn());
        play.egress(&tcp(pod, seen).syn_ack())
            .becomes(Replied, &tcp(pod, client).syn_ack());
    });
}

#[test]
fn a_datagram_after_a_silence_reaches_the_pod() {
    beside(UDP, |play, [client, pod, seen]| {
        // Unanswered for 30 s; for 60 s more there are tombstones.
        play.wait(40);
        play.ingress(&udp(client, pod))
            .becomes(Forwarded, &udp(seen, pod));
        play.wait(60);
        play.ingress(&udp(client, pod)).stays(NotService);
    });
}

#[test]
fn an_answer_to_a_client_that_the_pod_dials_as_well_stays_one() {
    play(|play| {
        let Cast {
            client,
            service,
            other,
            pods: [a, ..],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        play.service(other, UDP, &[client]);
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, a));
        play.egress(&udp(client, a)).stays(NotReply);
        // Both are clients, and both serve at the port that they dial from.
        play.ingress(&udp(a, other))
            .becomes(Forwarded, &udp(a, client));
        play.ingress(&udp(a, client)).stays(NotService);
        play.egress(&udp(a, client))
            .becomes(Replied, &udp(service, client));
    });
}
