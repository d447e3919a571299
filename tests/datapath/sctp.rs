// SPDX-License-Identifier: MIT OR Apache-2.0
//! SCTP: addresses, ports, and the CRC-32C that covers the ports.

use crate::play::{Cast, play};
use lb_common::{
    verdict::Reason::{Forwarded, FragmentShort, Malformed, Replied},
    wire::{BackendState, protocol::SCTP},
};
use tests::packet::sctp;

#[test]
fn associations_reach_a_backend_and_come_back() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        play.service(service, SCTP, &[a]);
        for length in [0, 1, 2, 3, 4, 20, 37, 500, 1_400] {
            let chunks = vec![0x5a; length];
            play.ingress(&sctp(client, service).payload(&chunks))
                .becomes(Forwarded, &sctp(client, a).payload(&chunks));
            play.egress(&sctp(a, client).payload(&chunks))
                .becomes(Replied, &sctp(service, client).payload(&chunks));
        }
    });
}

#[test]
fn a_checksum_that_both_ends_do_without_stays_out() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        play.service(service, SCTP, &[a]);
        play.ingress(&sctp(client, service).no_checksum())
            .becomes(Forwarded, &sctp(client, a).no_checksum());
    });
}

#[test]
fn an_association_leaves_a_backend_that_is_gone() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, b, _],
            ..
        } = play.cast;
        play.service(service, SCTP, &[a]);
        play.ingress(&sctp(client, service))
            .becomes(Forwarded, &sctp(client, a));
        play.state(a, SCTP, BackendState::Free);
        play.service(service, SCTP, &[b]);
        play.ingress(&sctp(client, service))
            .becomes(Forwarded, &sctp(client, b));
    });
}

#[test]
fn a_header_that_is_cut_short_is_left_alone() {
    play(|play| {
        let Cast {
            client, service, ..
        } = play.cast;
        let headers = if client.is_ipv4() { 20 } else { 0 };
        for length in 0..12 {
            play.ingress(&sctp(client, service).claims_length(headers + length))
                .stays(Malformed);
        }
    });
}

#[test]
fn pieces_of_a_packet_reach_nobody_and_are_not_answered() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, b, _],
            ..
        } = play.cast;
        play.service(service, SCTP, &[a]);
        play.addresses(&[service]);
        let first = |to| sctp(client, to).payload(&[7; 100]).pieces(64).remove(0);
        play.ingress(&first(service)).stays(FragmentShort);
        play.ingress(&first(b)).passes();
    });
}
