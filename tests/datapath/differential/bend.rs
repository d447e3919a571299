// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets that are not what a host would have sent in a quiet hour.

use tests::{
    chance::Chance,
    packet::{Extension, Frame},
};

/// How a frame differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bend {
    /// Not at all.
    Straight,
    /// IPv4 options or IPv6 extension headers.
    Options,
    /// A piece of a larger packet.
    Fragment,
    /// A VLAN tag, another protocol or `EtherType`.
    Foreign,
    /// A UDP datagram without checksum.
    NoChecksum,
    /// A length, version or offset that lies.
    Lie,
    /// The end is missing.
    Truncated,
    /// Some bits or bytes are others.
    Damaged,
}

/// Bends two thirds of all frames, and turns them into bytes.
pub(super) fn bend(frame: Frame, chance: &mut Chance) -> (Vec<u8>, Bend) {
    let bytes = frame.bytes();
    let is_ipv4 = bytes[14] >> 4 == 4;
    let protocol = bytes[if is_ipv4 { 23 } else { 20 }];
    let (is_tcp, is_udp) = (protocol == 6, protocol == 17);
    match chance.below(12) {
        0 => (with_options(frame, is_ipv4, chance).bytes(), Bend::Options),
        1 => (
            with_options(frame, is_ipv4, chance)
                .payload(&[3; 200])
                .bytes(),
            Bend::Options,
        ),
        2 => {
            let frame = if chance.one_in(4) {
                with_options(frame, is_ipv4, chance)
            } else {
                frame
            };
            let offset = chance.half() % 4;
            let frame = frame
                .identified(chance.half() % 3)
                .fragment(offset, offset == 0 || chance.one_in(2));
            let mut bytes = frame.bytes();
            if chance.one_in(4) {
                bytes.truncate(chance.below(bytes.len() + 1));
            }
            (bytes, Bend::Fragment)
        }
        3 => (foreign(frame, chance).bytes(), Bend::Foreign),
        4 if is_udp => (frame.no_checksum().bytes(), Bend::NoChecksum),
        4 | 5 => (
            lie(frame, is_ipv4, [is_tcp, is_udp], chance).bytes(),
            Bend::Lie,
        ),
        6 => {
            let frame = if chance.one_in(2) {
                with_options(frame, is_ipv4, chance)
            } else {
                frame
            };
            let mut bytes = frame.bytes();
            bytes.truncate(chance.below(bytes.len() + 1));
            (bytes, Bend::Truncated)
        }
        7 => {
            let frame = if chance.one_in(2) {
                with_options(frame, is_ipv4, chance)
            } else {
                frame
            };
            (damaged(frame.bytes(), chance), Bend::Damaged)
        }
        _ => (bytes, Bend::Straight),
    }
}

fn with_options(mut frame: Frame, is_ipv4: bool, chance: &mut Chance) -> Frame {
    if is_ipv4 {
        return frame.ipv4_options(&vec![1; (chance.below(10) + 1) * 4]);
    }
    for _ in 0..=chance.below(7) {
        frame = frame.extension(match chance.below(16) {
            0..4 => Extension::HopByHop(6 + 8 * (chance.byte() % 4)),
            4..8 => Extension::Destination(6 + 8 * (chance.byte() % 4)),
            8..12 => Extension::Routing(0),
            12 => Extension::Routing(1),
            13 | 14 => Extension::Fragment(0, false),
            _ => Extension::Authentication(chance.byte() % 4 + 1),
        });
    }
    frame
}

fn foreign(frame: Frame, chance: &mut Chance) -> Frame {
    match chance.below(4) {
        // Few VLANs, so that none is named at times.
        0 => frame.tagged(0x8100, chance.half() & 0xe003),
        1 => frame.tagged(0x88a8, chance.half()).tagged(0x8100, 1),
        2 => frame.claims_ether_type(chance.half()),
        _ => {
            let numbers = [0, 1, 17, 6, 41, 43, 44, 50, 51, 58, 59, 60, 132, 135];
            frame.claims_protocol(*chance.pick(&numbers))
        }
    }
}

fn lie(frame: Frame, is_ipv4: bool, [is_tcp, is_udp]: [bool; 2], chance: &mut Chance) -> Frame {
    // Mostly near the truth, where the comparisons are.
    let length = if chance.one_in(2) {
        chance.half() % 120
    } else {
        chance.half()
    };
    match chance.below(5) {
        0 => frame.claims_version(chance.byte() % 16),
        1 if is_ipv4 => frame.claims_header_words(chance.byte() % 16),
        2 if is_tcp => frame.claims_data_offset(chance.byte() % 16),
        2 if is_udp => frame.claims_udp_length(length),
        _ => frame.claims_length(length),
    }
}

/// Some bits or bytes become others.
pub(super) fn damaged(mut bytes: Vec<u8>, chance: &mut Chance) -> Vec<u8> {
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len());
        bytes[at] = match chance.below(3) {
            0 => bytes[at] ^ 1 << (chance.byte() % 8),
            1 => chance.byte(),
            _ => *chance.pick(&[0, 0xff]),
        };
    }
    bytes
}
