// SPDX-License-Identifier: MIT OR Apache-2.0
//! Session affinity: `sessionAffinity: ClientIP` with a time-out.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{Forwarded, Unpinned},
    wire::{
        BackendState,
        protocol::{TCP, UDP},
    },
};
use std::{collections::BTreeSet, net::SocketAddr};
use tests::packet::{tcp, udp};

/// Time-out of the rows' Service, in seconds.
const TIMEOUT: u64 = 100;
/// Flows enough that hardly any three backends would all be missed by chance.
const MANY: u16 = 24;

fn sticky(play: &mut Play<'_>, protocol: u8) {
    let Cast { service, pods, .. } = play.cast;
    play.service(service, protocol, &pods);
    play.affinity(service, protocol, 100);
}

/// Who gets a new flow of this client from this port.
fn dial(play: &mut Play<'_>, client: SocketAddr, port: u16, protocol: u8) -> SocketAddr {
    let client = SocketAddr::new(client.ip(), port);
    let service = play.cast.service;
    let frame = match protocol {
        TCP => tcp(client, service).syn(),
        _ => udp(client, service),
    };
    let [_, pod] = play.ingress(&frame).ends(Forwarded);
    pod
}

#[test]
fn a_client_keeps_its_backend_for_all_its_flows() {
    play(|play| {
        sticky(play, TCP);
        let client = play.cast.client;
        let first = dial(play, client, 1, TCP);
        for port in 2..MANY {
            assert_eq!(dial(play, client, port, TCP), first, "port {port}");
        }
        assert_eq!(play.affinities(), 1);
    });
}

#[test]
fn each_new_flow_begins_the_time_anew() {
    play(|play| {
        sticky(play, TCP);
        let client = play.cast.client;
        let first = dial(play, client, 1, TCP);
        for port in 2..MANY {
            play.wait(TIMEOUT - 1);
            assert_eq!(dial(play, client, port, TCP), first, "port {port}");
        }
    });
}

#[test]
fn after_the_time_another_backend_can_be_reached() {
    play(|play| {
        sticky(play, TCP);
        let client = play.cast.client;
        let mut reached = BTreeSet::new();
        for port in 1..MANY {
            reached.insert(dial(play, client, port, TCP));
            play.wait(TIMEOUT);
        }
        assert_eq!(reached.len(), 3);
    });
}

#[test]
fn clients_are_spread_though_each_keeps_its_backend() {
    play(|play| {
        let Cast {
            service,
            pods,
            client,
            stranger,
            ..
        } = play.cast;
        play.service(service, UDP, &pods);
        play.affinity(service, UDP, 100);
        for other in [client, stranger] {
            let first = dial(play, other, 1, UDP);
            assert_eq!(dial(play, other, 2, UDP), first);
        }
        assert_eq!(play.affinities(), 2);
    });
}

#[test]
fn a_backend_that_takes_no_new_flows_loses_its_clients() {
    for state in [
        BackendState::Draining,
        BackendState::Quiet,
        BackendState::Free,
    ] {
        play(|play| {
            sticky(play, TCP);
            let Cast {
                client,
                service,
                pods,
                ..
            } = play.cast;
            let first = dial(play, client, 1, TCP);
            let others: Vec<_> = pods.into_iter().filter(|pod| *pod != first).collect();
            // The slots go first, then the backend, as the agent writes it.
            play.service(service, TCP, &others);
            play.state(first, TCP, state);
            let second = dial(play, client, 2, TCP);
            assert!(others.contains(&second), "{state:?}: {second}");
            assert_eq!(dial(play, client, 3, TCP), second, "pinned anew");
            assert_eq!(play.affinities(), 1);
        });
    }
}

#[test]
fn a_backend_whose_id_is_reborn_loses_its_clients() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, b, c],
            ..
        } = play.cast;
        play.service(service, TCP, &[a]);
        play.affinity(service, TCP, 100);
        assert_eq!(dial(play, client, 1, TCP), a);
        play.service(service, TCP, &[b]);
        play.replace(a, c, TCP);
        assert_eq!(dial(play, client, 2, TCP), b);
    });
}

#[test]
fn it_can_be_switched_off_and_on() {
    play(|play| {
        sticky(play, TCP);
        let Cast {
            client, service, ..
        } = play.cast;
        let first = dial(play, client, 1, TCP);
        play.affinity(service, TCP, 0);
        let free: BTreeSet<_> = (2..MANY)
            .map(|port| dial(play, client, port, TCP))
            .collect();
        assert_eq!(free.len(), 3);
        play.affinity(service, TCP, 100);
        let again = dial(play, client, 100, TCP);
        assert_eq!(dial(play, client, 101, TCP), again);
        assert_eq!(again, first, "its time was not over");
    });
}

#[test]
fn a_full_table_pins_nobody_else_and_says_so() {
    play(|play| {
        sticky(play, TCP);
        let Cast {
            client, service, ..
        } = play.cast;
        let room = u8::try_from(play.twin.memory.affinity_capacity).expect("a small table");
        let neighbour = |number: u8| {
            let ip = match client.ip() {
                std::net::IpAddr::V4(ip) => {
                    let [a, b, c, _] = ip.octets();
                    [a, b, c, 100 + number].into()
                }
                std::net::IpAddr::V6(ip) => {
                    let mut bytes = ip.octets();
                    bytes[15] = number;
                    bytes.into()
                }
            };
            SocketAddr::new(ip, 1)
        };
        let pinned: Vec<_> = (0..room)
            .map(|number| dial(play, neighbour(number), 1, TCP))
            .collect();
        let end = play.ingress(&tcp(neighbour(room), service).syn());
        end.ends(Unpinned);
        for (number, pod) in (0..room).zip(pinned) {
            assert_eq!(dial(play, neighbour(number), 2, TCP), pod, "{number}");
        }
    });
}

#[test]
fn what_is_over_is_swept_away() {
    play(|play| {
        sticky(play, TCP);
        let client = play.cast.client;
        dial(play, client, 1, TCP);
        play.wait(TIMEOUT - 1);
        play.sweep();
        assert_eq!(play.affinities(), 1);
        dial(play, client, 2, TCP);
        play.wait(TIMEOUT - 1);
        play.sweep();
        assert_eq!(play.affinities(), 1, "used since");
        play.wait(1);
        play.sweep();
        assert_eq!(play.affinities(), 0);
    });
}
