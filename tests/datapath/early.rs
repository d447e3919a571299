// SPDX-License-Identifier: MIT OR Apache-2.0
//! What XDP at an uplink drops, answers and leaves to TC, on the host and in the kernel.

use crate::play::{Play, play};
use crate::twin::LOOPBACK;
use lb_common::{
    verdict::Reason,
    wire::{Service, protocol::TCP},
};
use std::net::SocketAddr;
use tests::packet::{SEQUENCE, answers::Reset, tcp};

/// The node's addresses.
const NODE: [&str; 2] = ["192.0.2.10", "2001:db8::10"];

/// By which packets of rows come in, once it is an uplink where packets may pass the stack by.
fn uplink(play: &mut Play<'_>) {
    let addresses = NODE.map(|text| text.parse().expect("an address"));
    let memory = &mut play.twin.memory;
    memory.add_uplink(LOOPBACK, addresses);
    memory.node.direct_until_ns = u64::MAX;
    play.copy();
}

/// In the kernel as well.
#[test]
fn refusals_and_drops_need_no_skb() {
    play(|play| {
        let cast = play.cast;
        uplink(play);
        play.service(cast.service, TCP, &[]);
        let syn = tcp(cast.client, cast.service).syn();
        play.early(&syn)
            .answers(Reason::Refused, &syn.reset(Reset::After(SEQUENCE)));
    });
    play(|play| {
        let cast = play.cast;
        uplink(play);
        play.service(cast.service, TCP, &cast.pods[..1]);
        // A segment of no flow.
        play.early(&tcp(cast.client, cast.service).ack())
            .ends_as(Reason::Reset);
        // A flow begins, and TC goes on with it.
        let syn = tcp(cast.client, cast.service).syn();
        play.early(&syn).stays(Reason::Continued);
        play.ingress(&syn)
            .becomes(Reason::Forwarded, &tcp(cast.client, cast.pods[0]).syn());
        play.flags(cast.service, TCP, Service::RANGES);
        let other = SocketAddr::new(cast.client.ip(), 5);
        play.early(&tcp(other, cast.service).syn())
            .stays(Reason::NotAdmitted);
        // Another station's.
        let uplinks = play.twin.memory.uplinks.values_mut();
        uplinks.for_each(|uplink| uplink.station = [2, 0, 0, 0, 0, 9]);
        play.copy();
        play.early(&tcp(other, cast.service).ack())
            .stays(Reason::NotAdmitted);
        play.flags(cast.service, TCP, 0);
        play.early(&tcp(other, cast.service).ack())
            .stays(Reason::Continued);
    });
}
