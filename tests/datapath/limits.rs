// SPDX-License-Identifier: MIT OR Apache-2.0
//! Full tables and values that cannot be read whole.

use crate::{
    play::{Cast, Play, done, play},
    tear::{Tear, VALUES, Value, tear},
};
use lb_common::{
    family::{Family, V4, V6},
    verdict::Reason::{FlowTableFull, Forwarded, Replied, Torn},
    wire::{
        Reverse,
        protocol::{TCP, UDP},
    },
};
use std::net::SocketAddr;
use tests::{
    packet::{tcp, udp},
    tables::{Flows, fill::tuple},
};

/// As many clients as the established tables hold flows, each with a flow.
fn fill(play: &mut Play<'_>) -> Vec<SocketAddr> {
    let Cast {
        client,
        service,
        pods: [a, _, _],
        ..
    } = play.cast;
    play.service(service, UDP, &[a]);
    let room = u16::try_from(play.twin.memory.flow_capacity).expect("small tables");
    let clients: Vec<_> = (1..=room)
        .map(|port| SocketAddr::new(client.ip(), port))
        .collect();
    for client in &clients {
        play.ingress(&udp(*client, service))
            .becomes(Forwarded, &udp(*client, a));
    }
    clients
}

#[test]
fn a_full_table_refuses_new_flows_and_keeps_the_old_ones() {
    play(|play| {
        let clients = fill(play);
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.ingress(&udp(client, service)).stays(FlowTableFull);
        for client in clients {
            play.ingress(&udp(client, service))
                .becomes(Forwarded, &udp(client, a));
            play.egress(&udp(a, client))
                .becomes(Replied, &udp(service, client));
        }
    });
}

#[test]
fn a_flow_that_has_ended_leaves_its_place_to_its_own_tuple() {
    play(|play| {
        let clients = fill(play);
        let Cast {
            service,
            pods: [_, b, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[b]);
        play.wait(31);
        for client in clients {
            play.ingress(&udp(client, service))
                .becomes(Forwarded, &udp(client, b));
        }
    });
}

#[test]
fn a_flow_without_an_entry_in_the_queue_is_undone() {
    play(|play| {
        let clients = fill(play);
        let Cast {
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        let again = |play: &mut Play<'_>| {
            play.wait(31);
            clients
                .iter()
                .map(|client| play.ingress(&udp(*client, service)))
                .collect::<Vec<_>>()
        };
        // A second life for each, and the queue is full of entries of both, but for the room that
        // affinities have in it.
        let spare = play.twin.memory.affinity_capacity;
        for (end, client) in again(play).into_iter().zip(&clients) {
            end.becomes(Forwarded, &udp(*client, a));
        }
        for end in again(play).into_iter().skip(spare) {
            end.stays(FlowTableFull);
        }
        assert_eq!(play.flows(), [0, spare]);
        play.sweep();
        for (end, client) in again(play).into_iter().zip(&clients) {
            end.becomes(Forwarded, &udp(*client, a));
        }
    });
}

#[test]
fn a_handshake_finds_no_room_and_may_be_tried_again() {
    play(|play| {
        fill(play);
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[a]);
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, a).syn());
        play.egress(&tcp(a, client).syn_ack())
            .becomes(Replied, &tcp(service, client).syn_ack());
        let full = play.flows();
        play.ingress(&tcp(client, service).ack())
            .stays(FlowTableFull);
        assert_eq!(play.flows(), full);
        // One of the others is gone: the client's next segment goes through.
        forget_first(&mut play.twin.memory.v4.flows);
        forget_first(&mut play.twin.memory.v6.flows);
        done(play.twin.copy());
        play.ingress(&tcp(client, service).ack())
            .becomes(Forwarded, &tcp(client, a).ack());
    });
}

#[test]
fn a_flow_without_room_for_its_reverse_entry_is_undone() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        let room = u16::try_from(play.twin.memory.flow_capacity).expect("small tables");
        for port in 1..=room {
            let client = SocketAddr::new(client.ip(), port);
            let memory = &mut play.twin.memory;
            if client.is_ipv4() {
                let key = tuple::<V4>(a, client, UDP);
                memory
                    .v4
                    .flows
                    .established
                    .reverse
                    .insert(key, Reverse::default());
            } else {
                let key = tuple::<V6>(a, client, UDP);
                memory
                    .v6
                    .flows
                    .established
                    .reverse
                    .insert(key, Reverse::default());
            }
        }
        done(play.twin.copy());
        play.ingress(&udp(client, service)).stays(FlowTableFull);
        let memory = &play.twin.memory;
        assert!(memory.v4.flows.established.flows.is_empty());
        assert!(memory.v6.flows.established.flows.is_empty());
    });
}

fn forget_first<F: Family>(flows: &mut Flows<F>) {
    flows.established.flows.pop_first();
    flows.established.reverse.pop_first();
}

#[test]
fn values_that_are_not_whole_end_a_packet_as_torn() {
    for how in [Tear::Halves, Tear::OtherKey] {
        for value in VALUES {
            play(|play| {
                let Cast {
                    client,
                    service,
                    pods: [a, _, _],
                    ..
                } = play.cast;
                play.service(service, UDP, &[a]);
                play.ingress(&udp(client, service))
                    .becomes(Forwarded, &udp(client, a));
                tear(&mut play.twin.memory, value, how);
                done(play.twin.copy());
                match value {
                    // A flow that is known does not ask for its Service.
                    Value::Service => {
                        let other = SocketAddr::new(client.ip(), client.port() + 1);
                        play.ingress(&udp(other, service)).stays(Torn);
                        play.ingress(&udp(client, service))
                            .becomes(Forwarded, &udp(client, a));
                    }
                    Value::Backend => play.ingress(&udp(client, service)).stays(Torn),
                    Value::Flow => {
                        play.ingress(&udp(client, service)).stays(Torn);
                        play.egress(&udp(a, client)).stays(Torn);
                    }
                    Value::Reverse => play.egress(&udp(a, client)).stays(Torn),
                }
            });
        }
    }
}
