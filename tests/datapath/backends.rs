// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens to flows when their backend, or their Service, changes.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{BackendGone, Forwarded, NoBackend, NotService, Refused, Replied},
    wire::{
        BackendState::{self, Draining, Free, Quiet},
        protocol::{TCP, UDP},
    },
};
use tests::packet::{SEQUENCE, answers::Reset, opening, tcp, udp};

/// A flow to the first pod whose Service now leads to the second.
fn moved(play: &mut Play<'_>, protocol: u8) {
    let Cast {
        client,
        service,
        pods: [a, b, _],
        ..
    } = play.cast;
    play.service(service, protocol, &[a]);
    play.ingress(&opening(protocol, client, service))
        .becomes(Forwarded, &opening(protocol, client, a));
    play.service(service, protocol, &[b]);
}

/// The same, with a completed handshake.
fn moved_connection(play: &mut Play<'_>) {
    let Cast {
        client,
        service,
        pods: [a, _, _],
        ..
    } = play.cast;
    moved(play, TCP);
    play.egress(&tcp(a, client).syn_ack())
        .becomes(Replied, &tcp(service, client).syn_ack());
    play.ingress(&tcp(client, service).ack())
        .becomes(Forwarded, &tcp(client, a).ack());
}

/// Each state of the first pod's backend, and whether its flows stay there.
fn in_state(flow: fn(&mut Play<'_>), check: impl Fn(&mut Play<'_>), state: BackendState) {
    play(|play| {
        flow(play);
        let [a, _, _] = play.cast.pods;
        for protocol in [TCP, UDP] {
            play.state(a, protocol, state);
        }
        check(play);
    });
}

#[test]
fn datagrams_follow_a_draining_backend_and_leave_a_quiet_one() {
    let datagram = |play: &mut Play<'_>, pod: usize| {
        let Cast {
            client,
            service,
            pods,
            ..
        } = play.cast;
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, pods[pod]));
        assert_eq!(play.flows(), [1, 0]);
    };
    for (state, pod) in [(Draining, 0), (Quiet, 1), (Free, 1)] {
        in_state(|play| moved(play, UDP), |play| datagram(play, pod), state);
    }
}

#[test]
fn a_handshake_leaves_a_quiet_backend() {
    let retransmit = |play: &mut Play<'_>, pod: usize| {
        let Cast {
            client,
            service,
            pods,
            ..
        } = play.cast;
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, pods[pod]).syn());
        assert_eq!(play.flows(), [1, 0]);
    };
    for (state, pod) in [(Draining, 0), (Quiet, 1), (Free, 1)] {
        in_state(|play| moved(play, TCP), |play| retransmit(play, pod), state);
    }
}

#[test]
fn a_connection_stays_whatever_its_backend_does() {
    for state in [Draining, Quiet, Free] {
        let check = |play: &mut Play<'_>| {
            let Cast {
                client,
                service,
                pods: [a, _, _],
                ..
            } = play.cast;
            play.ingress(&tcp(client, service).ack())
                .becomes(Forwarded, &tcp(client, a).ack());
            play.egress(&tcp(a, client).fin())
                .becomes(Replied, &tcp(service, client).fin());
        };
        in_state(moved_connection, check, state);
    }
}

#[test]
fn an_id_given_to_another_pod_takes_no_flow_along() {
    play(|play| {
        moved(play, UDP);
        let Cast {
            client,
            service,
            pods: [a, b, c],
            ..
        } = play.cast;
        play.replace(a, c, UDP);
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, b));
    });
    play(|play| {
        moved_connection(play);
        let Cast {
            client,
            service,
            pods: [a, _, c],
            ..
        } = play.cast;
        play.replace(a, c, TCP);
        play.ingress(&tcp(client, service).ack())
            .becomes(Forwarded, &tcp(client, a).ack());
    });
}

#[test]
fn an_id_that_was_wiped_out_is_a_backend_that_is_gone() {
    play(|play| {
        moved(play, UDP);
        let Cast {
            client,
            service,
            pods: [_, b, _],
            ..
        } = play.cast;
        play.twin.memory.backends.remove(&1);
        play.twin.copy().expect("the map is written");
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, b));
    });
}

#[test]
fn flows_outlive_their_service() {
    play(|play| {
        moved_connection(play);
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.remove_service(service, TCP);
        play.ingress(&tcp(client, service).ack())
            .becomes(Forwarded, &tcp(client, a).ack());
        play.egress(&tcp(a, client).ack())
            .becomes(Replied, &tcp(service, client).ack());
    });
    play(|play| {
        moved(play, UDP);
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.remove_service(service, UDP);
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, a));
        play.state(a, UDP, Free);
        play.ingress(&udp(client, service)).stays(BackendGone);
    });
}

#[test]
fn an_entry_that_is_over_stands_for_no_service() {
    play(|play| {
        moved(play, UDP);
        let Cast {
            client, service, ..
        } = play.cast;
        play.remove_service(service, UDP);
        play.wait(1_000);
        play.ingress(&udp(client, service)).stays(NotService);
    });
}

#[test]
fn a_service_that_has_lost_all_pods_refuses_new_flows_only() {
    play(|play| {
        moved_connection(play);
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[]);
        play.ingress(&tcp(client, service).ack())
            .becomes(Forwarded, &tcp(client, a).ack());
        let mut newcomer = client;
        newcomer.set_port(1);
        let syn = tcp(newcomer, service).syn();
        play.ingress(&syn)
            .answers(Refused, &syn.reset(Reset::After(SEQUENCE)));
    });
}

#[test]
fn a_slot_that_names_no_backend_is_no_backend() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        play.state(a, UDP, Free);
        play.ingress(&udp(client, service)).stays(NoBackend);
        assert_eq!(play.flows(), [0, 0]);
    });
}
