// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which packets are looked at, and which are left alone.

use crate::play::{Cast, Play, cast, done, play};
use lb_common::{
    family::Family,
    verdict::Reason::{
        self, Extension as ForeignExtension, Forwarded, Malformed, NotIp, OtherProtocol, Replied,
        Tagged, TaggedTwice,
    },
    wire::{
        Progress,
        protocol::{TCP, UDP},
    },
};
use lb_userspace::datapath::OBJECT;
use tests::{
    kernel::{FamilyMaps, Hook, Kernel, Sizes},
    packet::{Extension, Frame, opening, other, tcp, udp},
    tables::Memory,
};

/// A row with a Service for both protocols.
fn dialled(row: impl Fn(&mut Play<'_>, Frame, Frame)) {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        for protocol in [TCP, UDP] {
            play.service(service, protocol, &[a]);
            row(
                play,
                opening(protocol, client, service),
                opening(protocol, client, a),
            );
        }
    });
}

/// What a bent packet to a Service comes to at either hook; no byte of it changes.
fn left_alone(reason: Reason, bend: impl Fn(Frame) -> Frame) {
    dialled(|play, to_service, _| {
        play.ingress(&bend(to_service.clone())).stays(reason);
        play.egress(&bend(to_service)).stays(reason);
        assert_eq!(play.flows(), [0, 0]);
    });
}

/// A bent packet is translated as if it were straight.
fn translated(bend: impl Fn(Frame) -> Frame) {
    dialled(|play, to_service, to_pod| {
        play.ingress(&bend(to_service))
            .becomes(Forwarded, &bend(to_pod));
    });
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, UDP, &[a]);
        play.ingress(&udp(client, service));
        play.egress(&bend(udp(a, client)))
            .becomes(Replied, &bend(udp(service, client)));
    });
}

fn is_v4(frame: &Frame) -> bool {
    frame.bytes()[14] >> 4 == 4
}

#[test]
fn payloads_of_any_length_are_carried() {
    for length in [0, 1, 2, 3, 31, 32, 33, 1_000, 1_459, 1_460, 3_000] {
        translated(|frame| frame.payload(&vec![0xa5; length]));
    }
}

#[test]
fn tcp_options_are_carried() {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        play.service(service, TCP, &[a]);
        let options = [
            2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
        ];
        play.ingress(&tcp(client, service).syn().tcp_options(&options))
            .becomes(Forwarded, &tcp(client, a).syn().tcp_options(&options));
    });
}

#[test]
fn ipv4_options_are_stepped_over() {
    for length in [4, 8, 20, 40] {
        translated(|frame| {
            if is_v4(&frame) {
                frame.ipv4_options(&vec![1; length])
            } else {
                frame
            }
        });
    }
}

#[test]
fn ipv6_extension_headers_are_stepped_over() {
    let chains: [&[Extension]; 7] = [
        &[Extension::HopByHop(6)],
        &[Extension::HopByHop(254)],
        &[Extension::Destination(14)],
        &[Extension::Routing(0)],
        &[Extension::Fragment(0, false)],
        &[
            Extension::HopByHop(6),
            Extension::Destination(6),
            Extension::Routing(0),
        ],
        &[
            Extension::HopByHop(14),
            Extension::Destination(6),
            Extension::Routing(0),
            Extension::Fragment(0, false),
            Extension::Destination(22),
        ],
    ];
    for chain in chains {
        translated(|frame| {
            if is_v4(&frame) {
                frame
            } else {
                chain.iter().cloned().fold(frame, Frame::extension)
            }
        });
    }
}

/// A bend for IPv6 alone; IPv4 gets one that comes to the same reason.
fn left_alone_v6(reason: Reason, bend: impl Fn(Frame) -> Frame) {
    play(|play| {
        let Cast {
            client,
            service,
            pods: [a, _, _],
            ..
        } = play.cast;
        if client.is_ipv6() {
            play.service(service, UDP, &[a]);
            play.ingress(&bend(udp(client, service))).stays(reason);
        }
    });
}

#[test]
fn extension_headers_that_hide_the_destination_are_not_looked_behind() {
    left_alone_v6(ForeignExtension, |frame| {
        frame.extension(Extension::Routing(1))
    });
    left_alone_v6(ForeignExtension, |frame| {
        (0..12).fold(frame, |frame, _| frame.extension(Extension::Destination(6)))
    });
    // What is authenticated must not be changed.
    left_alone_v6(OtherProtocol, |frame| {
        frame.extension(Extension::Authentication(3))
    });
}

#[test]
fn tagged_frames_are_left_alone() {
    left_alone(Tagged, |frame| frame.tagged(0x8100, 5));
    left_alone(Tagged, |frame| frame.tagged(0x88a8, 5).tagged(0x8100, 6));
}

#[test]
fn a_tag_without_a_vlan_behind_another_tag_is_dropped() {
    // The outer one is not among the bytes by then.
    left_alone(TaggedTwice, |frame| frame.tagged(0x8100, 0));
    left_alone(TaggedTwice, |frame| frame.tagged(0x88a8, 0xe000));
}

#[test]
fn what_is_not_ip_is_left_alone() {
    for ether_type in [0x0000, 0x0806, 0x8847, 0x88cc, 0x05dc, 0xffff] {
        left_alone(NotIp, |frame| frame.claims_ether_type(ether_type));
    }
}

#[test]
fn other_protocols_are_left_alone() {
    play(|play| {
        let Cast {
            client, service, ..
        } = play.cast;
        for number in [1, 2, 4, 41, 47, 50, 58, 136, 255] {
            let frame = other(number, client.ip(), service.ip()).payload(&[0; 40]);
            play.ingress(&frame).stays(OtherProtocol);
            play.egress(&frame).stays(OtherProtocol);
        }
    });
}

#[test]
fn headers_that_contradict_each_other_are_left_alone() {
    left_alone(Malformed, |frame| {
        let version = if is_v4(&frame) { 6 } else { 4 };
        frame.claims_version(version)
    });
    left_alone(Malformed, |frame| frame.claims_version(0));
    // Too short for the transport header, by the packet's own word.
    left_alone(Malformed, |frame| {
        let length = if is_v4(&frame) { 27 } else { 7 };
        frame.payload(&[1; 64]).claims_length(length)
    });
    play(|play| {
        let Cast {
            client, service, ..
        } = play.cast;
        if client.is_ipv4() {
            for words in [0, 1, 4] {
                play.ingress(&udp(client, service).claims_header_words(words))
                    .stays(Malformed);
            }
            // The header is longer than the packet.
            play.ingress(&udp(client, service).claims_header_words(15))
                .stays(Malformed);
        }
    });
}

#[test]
fn padding_behind_the_packet_is_carried() {
    dialled(|play, to_service, to_pod| {
        // The packet ends by its own word before the frame does, as short ones do on Ethernet.
        let length = |frame: &Frame| u16::try_from(frame.bytes().len() - 14).expect("short");
        let honest = length(&to_service) - if is_v4(&to_service) { 0 } else { 40 };
        let padded = |frame: Frame| frame.payload(&[0; 18]).claims_length(honest);
        play.ingress(&padded(to_service))
            .becomes(Forwarded, &padded(to_pod));
    });
}

#[test]
fn frames_cut_short_are_left_alone() {
    dialled(|play, to_service, to_pod| {
        let whole = to_service.bytes().len();
        let header = if is_v4(&to_service) { 34 } else { 54 };
        for length in 0..whole {
            let end = play.ingress(&to_service.clone().truncated(length));
            if length < header {
                // Depending on the kernel's version its test run takes no such frame.
                end.stays_or_is_refused(Malformed);
            } else {
                end.stays(Malformed);
            }
        }
        play.ingress(&to_service.truncated(whole))
            .becomes(Forwarded, &to_pod);
    });
}

/// How far the client of the only flow has come.
fn client_next<F: Family>(maps: &FamilyMaps<F>) -> Option<u32> {
    let flows = done(maps.flows()).established.flows;
    let progress = flows.values().map(|flow| flow.client_progress);
    progress.map(|word| Progress::of_word(word).next).next()
}

/// Linux calls it BIG TCP. In the kernel alone: bytes do not tell.
#[test]
fn segments_that_are_longer_than_a_header_can_say_are_translated() {
    for family in [4, 6] {
        let Cast {
            client,
            service,
            pods: [pod, ..],
            ..
        } = cast(family);
        let mut memory = Memory::default();
        memory.add_backend(1, pod, TCP);
        memory.add_service(service, TCP, &[1]);
        let mut kernel = done(Kernel::load(OBJECT, Sizes::default()));
        done(kernel.copy_from(&memory));
        for (hook, segment) in [
            (Hook::Ingress, tcp(client, service).syn()),
            (Hook::Egress, tcp(pod, client).syn_ack()),
            (Hook::Ingress, tcp(client, service).ack()),
        ] {
            done(kernel.programs.run(hook, &segment.bytes()));
        }
        let next = |kernel: &Kernel| client_next(&kernel.v4).or(client_next(&kernel.v6));
        let began = next(&kernel).expect("a flow");
        let long = |to| tcp(client, to).ack().payload(&[7; 600]).claims_length(0);
        let frame = long(service).bytes();
        let ran = done(kernel.programs.run_uncut(Hook::Ingress, &frame, 100));
        assert_eq!(ran.frame, long(pod).bytes());
        assert_eq!(next(&kernel), Some(began.wrapping_add(600)));
    }
}
