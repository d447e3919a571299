// SPDX-License-Identifier: MIT OR Apache-2.0
//! Full tables and values that cannot be read whole.

use crate::{
    play::{Cast, End, Play, done, play},
    tear::{Tear, VALUES, Value, tear},
};
use lb_common::{
    family::{Family, V4, V6},
    verdict::Reason::{FlowTableFull, Forwarded, Replied, Torn},
    wire::{
        Reverse,
        protocol::{SCTP, TCP, UDP},
    },
};
use std::net::SocketAddr;
use tests::{
    packet::{opening, tcp, udp},
    tables::{Flows, fill::tuple},
};

/// A client asks, is answered and asks again: how the second question ends, after which the flow is
/// no longer half open.
fn ask_twice(play: &mut Play<'_>, client: SocketAddr) -> End {
    let Cast {
        service,
        pods: [a, _, _],
        ..
    } = play.cast;
    play.ingress(&udp(client, service))
        .becomes(Forwarded, &udp(client, a));
    play.egress(&udp(a, client))
        .becomes(Replied, &udp(service, client));
    play.ingress(&udp(client, service))
}

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
        ask_twice(play, *client).becomes(Forwarded, &udp(*client, a));
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
        ask_twice(play, client).stays(FlowTableFull);
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
        play.wait(181);
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
        let [a, _, _] = play.cast.pods;
        let again = |play: &mut Play<'_>| {
            play.wait(181);
            clients
                .iter()
                .map(|client| ask_twice(play, *client))
                .collect::<Vec<_>>()
        };
        // A second life for each, and the queue is full of entries of both, but for the room that
        // affinities and masquerades have in it.
        let memory = &play.twin.memory;
        let spare = memory.affinity_capacity + memory.mask_capacity;
        for (end, client) in again(play).into_iter().zip(&clients) {
            end.becomes(Forwarded, &udp(*client, a));
        }
        for end in again(play).into_iter().skip(spare) {
            end.stays(FlowTableFull);
        }
        assert_eq!(play.flows(), [clients.len() - spare, spare]);
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
        ask_twice(play, client).stays(FlowTableFull);
        let memory = &play.twin.memory;
        assert!(memory.v4.flows.established.flows.is_empty());
        assert!(memory.v6.flows.established.flows.is_empty());
    });
}

#[test]
fn who_begins_alone_fills_no_table() {
    for protocol in [UDP, SCTP] {
        play(|play| {
            let Cast {
                client,
                service,
                pods: [a, _, _],
                ..
            } = play.cast;
            play.service(service, protocol, &[a]);
            for port in 1..=u16::try_from(play.twin.memory.flow_capacity + 1).expect("small") {
                let client = SocketAddr::new(client.ip(), port);
                for _twice in 0..2 {
                    play.ingress(&opening(protocol, client, service))
                        .becomes(Forwarded, &opening(protocol, client, a));
                }
            }
            assert_eq!(play.flows()[1], 0);
        });
    }
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
