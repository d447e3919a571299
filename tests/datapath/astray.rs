// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets of no flow for an address of Services. No machine has it, so one that passed would be
//! routed on and on: each ends here, for a reason of its own.

use crate::{
    play::{Cast, Play, play},
    unserved::range,
};
use lb_common::{
    verdict::Reason::{
        self, Extension as ForeignExtension, Fragment, FragmentEarly, FragmentShort, Malformed,
        NotRelated, RelatedForwarded, RelatedFragment, RelatedUnknown, Unallocated, Unanswerable,
    },
    wire::{
        Manner, Refusals,
        protocol::{TCP, UDP},
    },
};
use std::net::SocketAddr;
use tests::packet::{Extension, Frame, icmp, other, tcp, udp};

/// More than any packet here.
const ALL: usize = 2_000;

/// What a packet ends for, where it is to a Service's address, and where no Service is concerned.
/// Between the two are addresses that no Service has yet: all is alike for those.
fn to_each(
    play: &mut Play<'_>,
    [served, left_alone]: [Reason; 2],
    packet: impl Fn(SocketAddr) -> Frame,
) {
    let Cast {
        service,
        other,
        stranger,
        ..
    } = play.cast;
    for (to, reason) in [
        (service, served),
        (other, Unallocated),
        (stranger, left_alone),
    ] {
        play.ingress(&packet(to)).stays(reason);
    }
    play.refusals(Refusals {
        unallocated: Manner::Pass.byte(),
        ..Refusals::default()
    });
    play.ingress(&packet(other)).stays(left_alone);
    play.refusals(Refusals::default());
}

/// A row with a Service at an address within the range.
fn astray(row: impl Fn(&mut Play<'_>, SocketAddr)) {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        for protocol in [TCP, UDP] {
            play.service(service, protocol, &[a]);
        }
        play.addresses(&[service]);
        range(play);
        row(play, client);
    });
}

/// "Nobody listens", from a client.
fn error(client: SocketAddr, to: SocketAddr) -> Frame {
    let kind = if client.is_ipv4() { [3, 3] } else { [1, 4] };
    icmp(kind, client.ip(), to.ip())
}

#[test]
fn errors_about_no_flow_end_here() {
    astray(|play, client| {
        for about in [udp, tcp] {
            to_each(play, [RelatedUnknown, NotRelated], |to| {
                error(client, to).about(&about(to, client), ALL)
            });
            to_each(play, [RelatedUnknown, RelatedFragment], |to| {
                let later = about(to, client).payload(&[0; 80]).fragment(3, true);
                error(client, to).about(&later, ALL)
            });
        }
        // About what the node itself has sent from there: an echo, say.
        to_each(play, [RelatedUnknown, NotRelated], |to| {
            error(client, to).about(&other(47, to.ip(), client.ip()).payload(&[0; 40]), ALL)
        });
    });
}

#[test]
fn errors_about_nothing_that_can_be_read_end_here() {
    astray(|play, client| {
        to_each(play, [Unanswerable, Malformed], |to| {
            error(client, to).about(&udp(to, client).claims_version(7), ALL)
        });
        if client.is_ipv6() {
            to_each(play, [Unanswerable, ForeignExtension], |to| {
                let hidden = udp(to, client).extension(Extension::Routing(1));
                error(client, to).about(&hidden, ALL)
            });
        }
    });
}

#[test]
fn errors_about_a_flow_go_their_way_all_the_same() {
    astray(|play, client| {
        let Cast {
            service,
            pods: [a, ..],
            ..
        } = play.cast;
        play.ingress(&udp(client, service));
        play.ingress(&error(client, service).about(&udp(service, client), ALL))
            .becomes(
                RelatedForwarded,
                &error(client, a).about(&udp(a, client), ALL),
            );
    });
}

#[test]
fn fragments_of_nothing_known_end_here() {
    astray(|play, client| {
        for of in [udp, tcp] {
            let whole = |to| of(client, to).payload(&[7; 100]);
            to_each(play, [FragmentEarly, Fragment], |to| {
                whole(to).pieces(48).swap_remove(1)
            });
            to_each(play, [FragmentShort, Fragment], |to| {
                let headers = if client.is_ipv4() { 20 } else { 8 };
                whole(to)
                    .pieces(48)
                    .swap_remove(0)
                    .claims_length(headers + 7)
            });
        }
    });
}

#[test]
fn packets_that_cannot_be_read_end_here() {
    astray(|play, client| {
        to_each(play, [Unanswerable, Malformed], |to| {
            let headers = if client.is_ipv4() { 20 } else { 0 };
            udp(client, to).payload(&[1; 64]).claims_length(headers + 7)
        });
        if client.is_ipv6() {
            to_each(play, [Unanswerable, ForeignExtension], |to| {
                udp(client, to).extension(Extension::Routing(1))
            });
        }
    });
}
