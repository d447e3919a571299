// SPDX-License-Identifier: MIT OR Apache-2.0
//! A described frame as bytes: headers from the inside out, then the lies.

use super::{ACKNOWLEDGED, Extension, Frame, Lie, MACS, SEQUENCE, Transport, flag};
use crc::{CRC_32_ISCSI, Crc};
use etherparse::checksum::Sum16BitWords;
use lb_common::wire::protocol;
use std::net::IpAddr;

/// SCTP's checksum.
pub(super) const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

pub(super) fn bytes(frame: &Frame) -> Vec<u8> {
    let (next, segment) = transport(frame);
    let (next, body) = extensions(frame, next, segment);
    let network = match (frame.source.ip(), frame.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ipv4(frame, next, source.octets(), destination.octets(), &body)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ipv6(frame, next, source.octets(), destination.octets(), &body)
        }
        _ => unreachable!("one family a frame"),
    };
    let [client, node] = MACS;
    let mut bytes = if frame.is_answer {
        [client, node].concat()
    } else {
        [node, client].concat()
    };
    for [tpid, vlan] in &frame.tags {
        bytes.extend(tpid.to_be_bytes());
        bytes.extend(vlan.to_be_bytes());
    }
    bytes.extend(ether_type(frame).to_be_bytes());
    let at = bytes.len();
    bytes.extend(network);
    let transport_at = bytes.len() - segment_length(frame);
    for lie in &frame.lies {
        bend(&mut bytes, *lie, frame.source.is_ipv4(), at, transport_at);
    }
    bytes
}

fn ether_type(frame: &Frame) -> u16 {
    if frame.source.is_ipv4() {
        0x0800
    } else {
        0x86dd
    }
}

fn segment_length(frame: &Frame) -> usize {
    let header = match &frame.transport {
        Transport::Tcp { options, .. } => 20 + options.len(),
        Transport::Udp { .. } | Transport::Icmp { .. } => 8,
        Transport::Sctp { .. } => 12,
        Transport::Other(_) => 0,
    };
    header + frame.payload.len()
}

/// The transport header with its checksum, and the payload.
pub(super) fn transport(frame: &Frame) -> (u8, Vec<u8>) {
    let mut segment = Vec::new();
    segment.extend(frame.source.port().to_be_bytes());
    segment.extend(frame.destination.port().to_be_bytes());
    match &frame.transport {
        Transport::Tcp {
            flags,
            options,
            numbers,
        } => {
            let [sequence, acknowledgement] = numbers.unwrap_or_else(|| numbers_of(frame, *flags));
            segment.extend(sequence.to_be_bytes());
            segment.extend(acknowledgement.to_be_bytes());
            segment.extend([narrow(5 + options.len() / 4) << 4, *flags]);
            segment.extend([0xfa, 0xf0, 0, 0, 0, 0]);
            segment.extend(options);
            segment.extend(&frame.payload);
            let check = pseudo_sum(frame, protocol::TCP, &segment).ones_complement();
            segment[16..18].copy_from_slice(&check.to_ne_bytes());
            (protocol::TCP, segment)
        }
        Transport::Udp { checksum } => {
            segment.extend(word(8 + frame.payload.len()).to_be_bytes());
            segment.extend([0, 0]);
            segment.extend(&frame.payload);
            if *checksum {
                let sum = pseudo_sum(frame, protocol::UDP, &segment);
                let check = sum.to_ones_complement_with_no_zero();
                segment[6..8].copy_from_slice(&check.to_ne_bytes());
            }
            (protocol::UDP, segment)
        }
        Transport::Sctp { checksum } => {
            // Verification tag, then the checksum (RFC 9260, section 3.1).
            segment.extend([0xda, 0x7a, 0xba, 0x5e, 0, 0, 0, 0]);
            segment.extend(&frame.payload);
            if *checksum {
                let check = CRC32C.checksum(&segment);
                segment[8..12].copy_from_slice(&check.to_le_bytes());
            }
            (protocol::SCTP, segment)
        }
        Transport::Icmp { kind, rest } => icmp(frame, *kind, *rest),
        Transport::Other(number) => (*number, frame.payload.clone()),
    }
}

/// The numbers of a segment whose ends have sent nothing before but their SYNs.
fn numbers_of(frame: &Frame, flags: u8) -> [u32; 2] {
    let opens = flags & (flag::SYN | flag::ACK) == flag::SYN;
    let [own, other] = if opens || frame.source.port() >= frame.destination.port() {
        [SEQUENCE, ACKNOWLEDGED]
    } else {
        [ACKNOWLEDGED, SEQUENCE]
    };
    [own - u32::from(flags & flag::SYN != 0), other]
}

/// An ICMP message of either family (RFC 792, RFC 4443).
fn icmp(frame: &Frame, kind: [u8; 2], rest: [u8; 4]) -> (u8, Vec<u8>) {
    let mut message = kind.to_vec();
    message.extend([0, 0]);
    message.extend(rest);
    message.extend(&frame.payload);
    let (number, sum) = if frame.source.is_ipv4() {
        (1, Sum16BitWords::new().add_slice(&message))
    } else {
        (58, pseudo_sum(frame, 58, &message))
    };
    message[2..4].copy_from_slice(&sum.ones_complement().to_ne_bytes());
    (number, message)
}

/// Pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1) and segment, summed.
fn pseudo_sum(frame: &Frame, number: u8, segment: &[u8]) -> Sum16BitWords {
    let sum = match (frame.source.ip(), frame.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Sum16BitWords::new()
            .add_slice(&source.octets())
            .add_slice(&destination.octets()),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Sum16BitWords::new()
            .add_slice(&source.octets())
            .add_slice(&destination.octets()),
        _ => unreachable!("one family a frame"),
    };
    sum.add_2bytes([0, number])
        .add_2bytes(word(segment.len()).to_be_bytes())
        .add_slice(segment)
}

/// The chain of extension headers in front of the segment, and the number of its first header.
fn extensions(frame: &Frame, last: u8, segment: Vec<u8>) -> (u8, Vec<u8>) {
    let (mut next, mut body) = (last, segment);
    for extension in frame.extensions.iter().rev() {
        let (number, mut header) = match *extension {
            Extension::HopByHop(padding) => (0, options_header(padding)),
            Extension::Routing(left) => (43, vec![0, 0, 0, left, 0, 0, 0, 0]),
            Extension::Fragment(offset, more) => {
                let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
                let [i0, i1] = frame.identification.to_be_bytes();
                (44, vec![0, 0, high, low, 0, 0, i0, i1])
            }
            Extension::Authentication(words) => {
                let mut header = vec![0, words + 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1];
                header.extend(vec![0xab; usize::from(words) * 4]);
                (51, header)
            }
            Extension::Destination(padding) => (60, options_header(padding)),
        };
        header[0] = next;
        header.extend(body);
        (next, body) = (number, header);
    }
    (next, body)
}

/// A header that holds one `PadN` option (RFC 8200 section 4.2) of so many bytes in all.
fn options_header(padding: u8) -> Vec<u8> {
    assert_eq!(
        padding % 8,
        6,
        "an options header is a multiple of eight bytes"
    );
    let mut header = vec![0, (padding - 6) / 8, 1, padding - 2];
    header.resize(usize::from(padding) + 2, 0);
    header
}

fn ipv4(frame: &Frame, next: u8, source: [u8; 4], destination: [u8; 4], body: &[u8]) -> Vec<u8> {
    let options = &frame.ipv4_options;
    let (offset, more) = frame.fragment.unwrap_or((0, false));
    let mut header = vec![0x40 | narrow(5 + options.len() / 4), 0];
    header.extend(word(20 + options.len() + body.len()).to_be_bytes());
    header.extend(frame.identification.to_be_bytes());
    let flags = u16::from(frame.is_unbreakable) << 14 | u16::from(more) << 13;
    header.extend((flags | offset).to_be_bytes());
    header.extend([frame.hops, next, 0, 0]);
    header.extend(source);
    header.extend(destination);
    header.extend(options);
    let check = Sum16BitWords::new().add_slice(&header).ones_complement();
    header[10..12].copy_from_slice(&check.to_ne_bytes());
    header.extend(body);
    header
}

fn ipv6(frame: &Frame, next: u8, source: [u8; 16], destination: [u8; 16], body: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0x01, 0x23, 0x45];
    header.extend(word(body.len()).to_be_bytes());
    header.extend([next, frame.hops]);
    header.extend(source);
    header.extend(destination);
    header.extend(body);
    header
}

/// Changes one field and nothing that depends on it, but for the IPv4 header's checksum, without
/// which no host would look at the rest.
fn bend(bytes: &mut Vec<u8>, lie: Lie, is_ipv4: bool, at: usize, transport_at: usize) {
    let length_at = at + if is_ipv4 { 2 } else { 4 };
    match lie {
        Lie::EtherType(value) => bytes[at - 2..at].copy_from_slice(&value.to_be_bytes()),
        Lie::Protocol(value) => bytes[at + if is_ipv4 { 9 } else { 6 }] = value,
        Lie::Version(value) => bytes[at] = value << 4 | bytes[at] & 0x0f,
        Lie::HeaderWords(value) => bytes[at] = bytes[at] & 0xf0 | value,
        Lie::TotalLength(value) => {
            bytes[length_at..length_at + 2].copy_from_slice(&value.to_be_bytes());
        }
        // A header without bytes of its own says nothing.
        Lie::DataOffset(value) => {
            if let Some(byte) = bytes.get_mut(transport_at + 12) {
                *byte = value << 4;
            }
        }
        Lie::UdpLength(value) => {
            if let Some(bytes) = bytes.get_mut(transport_at + 4..transport_at + 6) {
                bytes.copy_from_slice(&value.to_be_bytes());
            }
        }
        Lie::Truncated(length) => bytes.truncate(length),
    }
    let header = usize::from(bytes.get(at).map_or(0, |byte| byte & 0x0f)) * 4;
    if is_ipv4 && header >= 20 && bytes.len() >= at + header {
        bytes[at + 10..at + 12].fill(0);
        let sum = Sum16BitWords::new().add_slice(&bytes[at..at + header]);
        bytes[at + 10..at + 12].copy_from_slice(&sum.ones_complement().to_ne_bytes());
    }
}

fn word(length: usize) -> u16 {
    u16::try_from(length).expect("a test's packet is shorter than 64 KiB")
}

fn narrow(length: usize) -> u8 {
    u8::try_from(length).expect("a header's length fits its field")
}
