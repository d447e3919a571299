// SPDX-License-Identifier: MIT OR Apache-2.0
//! While we take over from a kube-proxy: what netfilter's conntrack owns is left alone.

use crate::play::{Cast, Play, play};
use lb_common::{
    verdict::Reason::{Foreign, ForeignUnknown, Forwarded, NoFlow, Reset},
    wire::{
        Takeover::{Done, Moving, Observing, Serving},
        protocol::{TCP, UDP},
    },
};
use std::net::SocketAddr;
use tests::packet::{ACKNOWLEDGED, answers::Reset as Numbers, tcp, udp};

/// A Service over one pod, of both protocols, while we observe.
fn observed(play: &mut Play<'_>) {
    let Cast { service, pods, .. } = play.cast;
    play.service(service, TCP, &pods[..1]);
    play.service(service, UDP, &pods[..1]);
    play.takeover(Observing);
}

#[test]
fn nothing_of_ours_begins_while_we_observe() {
    play(|play| {
        let Cast {
            client, service, ..
        } = play.cast;
        observed(play);
        play.ingress(&tcp(client, service).syn()).stays(Foreign);
        play.ingress(&udp(client, service)).stays(Foreign);
        let other = SocketAddr::new(client.ip(), client.port() + 1);
        play.ingress(&tcp(other, service).ack()).stays(Foreign);
        assert_eq!((play.flows(), play.foreigns()), ([0, 0], 3));
    });
}

#[test]
fn what_is_unknown_while_flows_move_may_be_ours() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        observed(play);
        let [known, unknown] = [1, 2].map(|more| SocketAddr::new(client.ip(), 50_000 + more));
        play.ingress(&tcp(known, service).ack()).stays(Foreign);
        play.takeover(Moving);
        play.ingress(&tcp(known, service).ack()).stays(Foreign);
        play.ingress(&tcp(unknown, service).ack()).stays(NoFlow);
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, a).syn());
        assert_eq!((play.flows(), play.foreigns()), ([1, 0], 1));
    });
}

#[test]
fn what_began_before_stays_with_the_host() {
    play(|play| {
        let Cast {
            client, service, ..
        } = play.cast;
        observed(play);
        play.ingress(&tcp(client, service).syn()).stays(Foreign);
        play.ingress(&udp(client, service)).stays(Foreign);
        play.takeover(Serving);
        // Its SYN-ACK was lost.
        play.ingress(&tcp(client, service).syn()).stays(Foreign);
        play.wait(5);
        play.ingress(&tcp(client, service).ack()).stays(Foreign);
        play.wait(3600);
        play.ingress(&tcp(client, service).ack().payload(b"later"))
            .stays(Foreign);
        play.ingress(&tcp(client, service).fin()).stays(Foreign);
        assert_eq!(play.flows(), [0, 0]);
    });
}

#[test]
fn what_begins_afterwards_is_ours() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        observed(play);
        play.takeover(Serving);
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, a).syn());
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, a));
        assert_eq!(play.foreigns(), 0);
    });
}

#[test]
fn a_port_used_again_after_a_foreign_connection_is_ours() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        observed(play);
        play.ingress(&tcp(client, service).ack()).stays(Foreign);
        play.takeover(Serving);
        play.ingress(&tcp(client, service).syn())
            .becomes(Forwarded, &tcp(client, a).syn());
        assert_eq!(play.foreigns(), 0);
    });
}

#[test]
fn a_connection_that_nobody_listed_is_the_host_s() {
    play(|play| {
        let Cast {
            client, service, ..
        } = play.cast;
        observed(play);
        play.takeover(Serving);
        play.ingress(&tcp(client, service).ack()).stays(Foreign);
        assert_eq!(play.foreigns(), 1);
        play.takeover(Done);
        let segment = tcp(client, service).ack();
        let reset = segment.reset(Numbers::At(ACKNOWLEDGED));
        play.ingress(&segment).answers(Reset, &reset);
    });
}

#[test]
fn our_own_flows_stay_ours() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        observed(play);
        play.takeover(Serving);
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, a));
        // An agent that has died while it observed comes back to where it was.
        play.takeover(Observing);
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, a));
        play.egress(&udp(a, client))
            .becomes(lb_common::verdict::Reason::Replied, &udp(service, client));
    });
}

#[test]
fn without_an_agent_silence_ends_a_foreign_flow() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        observed(play);
        play.ingress(&udp(client, service)).stays(Foreign);
        play.takeover(Serving);
        play.wait(179);
        play.ingress(&udp(client, service)).stays(Foreign);
        play.wait(180);
        play.ingress(&udp(client, service))
            .becomes(Forwarded, &udp(client, a));
    });
}

#[test]
fn without_room_to_remember_the_host_still_gets_it() {
    play(|play| {
        let Cast {
            client, service, ..
        } = play.cast;
        observed(play);
        // The table holds four.
        for number in 0..4 {
            let other = SocketAddr::new(client.ip(), client.port() + number);
            play.ingress(&tcp(other, service).syn()).stays(Foreign);
        }
        let last = SocketAddr::new(client.ip(), client.port() + 4);
        play.ingress(&tcp(last, service).syn())
            .stays(ForeignUnknown);
        // What is in there can be written anew.
        play.ingress(&tcp(client, service).ack()).stays(Foreign);
    });
}
