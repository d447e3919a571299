// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is for this host itself is left alone, whoever else has the address. On the host alone:
//! packets of the kernel's test runs come in by no interface that routes (tests/node/unserved.rs
//! has some that do).

use crate::play::{Cast, cast};
use lb_common::{
    family::{Family as _, V4, V6, WideAddress},
    frame::Frames,
    packet::{Buffer, OutOfPacket, Packet},
    pipeline,
    verdict::{Reason, Verdict},
    wire::{Range, protocol::TCP},
};
use std::net::{IpAddr, SocketAddr};
use tests::{
    packet::{Frame, answers::echo_request, icmp, tcp, udp},
    tables::Memory,
};

/// A packet, and what its kernel says of it.
struct Told<'a> {
    buffer: Buffer<'a>,
    /// Whether the host has an address.
    is_the_hosts: &'a dyn Fn(&WideAddress) -> bool,
    has_tag: bool,
}

impl Packet for Told<'_> {
    fn load<const N: usize>(&self, at: usize, into: &mut [u8; N]) -> Result<(), OutOfPacket> {
        self.buffer.load(at, into)
    }

    fn store<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) -> Result<(), OutOfPacket> {
        self.buffer.store(at, bytes)
    }

    fn is_for_host(&self, _family: u8, _source: &WideAddress, destination: &WideAddress) -> bool {
        (self.is_the_hosts)(destination)
    }

    fn ifindex(&self) -> u32 {
        self.buffer.ifindex()
    }

    fn blank(&mut self, length: usize) -> Result<(), OutOfPacket> {
        self.buffer.blank(length)
    }

    fn has_offloaded_tag(&self) -> bool {
        self.has_tag
    }
}

/// How a packet ends at ingress, and whether it is as it was.
fn end(memory: &mut Memory, frame: &Frame, is_for_host: bool, has_tag: bool) -> (Reason, bool) {
    come(memory, frame, &|_| is_for_host, has_tag)
}

fn come(
    memory: &mut Memory,
    frame: &Frame,
    is_the_hosts: &dyn Fn(&WideAddress) -> bool,
    has_tag: bool,
) -> (Reason, bool) {
    let before = frame.bytes();
    let mut room = before.clone();
    room.resize(before.len() + 256, 0);
    let mut packet = Told {
        buffer: Buffer::new(&mut room, before.len()).arriving_by(LINK),
        is_the_hosts,
        has_tag,
    };
    let reason = pipeline::ingress(&mut packet, memory, &mut Frames::new());
    (reason, packet.buffer.bytes() == before)
}

/// By which all of them come.
const LINK: u32 = 7;

/// A Service at one address, and another one where Services have theirs from.
fn world(cast: &Cast) -> Memory {
    let mut memory = Memory::default();
    memory.add_backend(1, cast.pods[0], TCP);
    memory.add_service(cast.service, TCP, &[1]);
    memory.add_address(cast.service.ip());
    let [mut v4, mut v6] = [Range::default(); 2];
    v4.network[..2].copy_from_slice(&[10, 96]);
    v4.mask[..2].fill(0xff);
    v6.network[..4].copy_from_slice(&[0xfd, 0, 0, 0x96]);
    v6.mask[..4].fill(0xff);
    memory.ranges = [v4, v6];
    memory
}

/// Packets that a Service's address does not take.
fn unserved(client: SocketAddr, to: SocketAddr) -> Vec<Frame> {
    let at = SocketAddr::new(to.ip(), 22);
    let (kind, short) = if client.is_ipv4() {
        ([3, 3], 27)
    } else {
        ([1, 4], 7)
    };
    let datagram = udp(client, at).payload(&[7; 200]).pieces(48);
    let [first, later] = [&datagram[0], &datagram[1]];
    vec![
        tcp(client, at).syn(),
        udp(client, at).payload(&[1; 60]),
        echo_request(client.ip(), at.ip(), b"ping"),
        icmp(kind, client.ip(), at.ip()).about(&udp(at, client), 100),
        later.clone(),
        first.clone().claims_length(short),
        udp(client, at).payload(&[1; 60]).claims_length(short),
    ]
}

#[test]
fn what_no_service_takes_is_the_hosts_where_the_address_is() {
    for family in [4, 6] {
        let cast = cast(family);
        for to in [cast.service, cast.other] {
            for frame in unserved(cast.client, to) {
                let mut memory = world(&cast);
                let (reason, is_as_it_was) = end(&mut memory, &frame, true, false);
                assert_eq!(reason.verdict(), Verdict::Pass, "{reason:?} for {frame:?}");
                assert!(is_as_it_was, "{reason:?} for {frame:?}");
                let (reason, _) = end(&mut memory, &frame, false, false);
                assert_ne!(reason.verdict(), Verdict::Pass, "{reason:?} for {frame:?}");
            }
        }
        // A port that is served is, all the same.
        let syn = tcp(cast.client, cast.service).syn();
        let (reason, _) = end(&mut world(&cast), &syn, true, false);
        assert_eq!(reason, Reason::Forwarded);
    }
}

#[test]
fn a_tag_that_the_kernel_keeps_aside_is_a_tag() {
    for family in [4, 6] {
        let cast = cast(family);
        let syn = tcp(cast.client, cast.service).syn();
        let ended = end(&mut world(&cast), &syn, false, true);
        assert_eq!(ended, (Reason::Tagged, true));
    }
}

#[test]
fn what_says_that_it_comes_from_this_host_or_a_service_does_not_come_from_outside() {
    for family in [4, 6] {
        let cast = cast(family);
        let [served, own, stranger] = [cast.service, cast.client, cast.stranger];
        let at = |address: IpAddr| match address {
            IpAddr::V4(address) => V4::widen(address.octets()),
            IpAddr::V6(address) => V6::widen(address.octets()),
        };
        let is_own = at(own.ip());
        for (from, to, is_uplink, expected) in [
            (own, served, true, Reason::Spoofed),
            (own, stranger, true, Reason::Spoofed),
            (served, stranger, true, Reason::Spoofed),
            // Of several nodes that serve it, another one answers what this one has asked.
            (served, own, true, Reason::NotService),
            (own, stranger, false, Reason::NotService),
            (served, stranger, false, Reason::NotService),
        ] {
            let mut memory = world(&cast);
            // The agent leaves a trace of its own addresses as of Services'.
            memory.add_address(own.ip());
            if is_uplink {
                memory.add_uplink(LINK, [own.ip(); 2]);
            }
            let syn_ack = tcp(from, to).syn_ack();
            let (reason, is_as_it_was) = come(&mut memory, &syn_ack, &|it| *it == is_own, false);
            assert_eq!(reason, expected, "{from} -> {to} {is_uplink}");
            assert!(is_as_it_was);
        }
    }
}
