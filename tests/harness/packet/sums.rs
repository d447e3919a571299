// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the checksums of a finished frame are right, calculated anew by etherparse.

use super::encode::CRC32C;
use etherparse::{
    IpNumber, IpPayloadSlice, Ipv4HeaderSlice, Ipv6ExtensionSlice, Ipv6Slice, NetSlice,
    SlicedPacket, TcpSlice, TransportSlice, UdpSlice, checksum::Sum16BitWords,
};

/// What a checksum field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// It is what a sum over the bytes gives.
    Right,
    /// It is not.
    Wrong,
    /// There is none: IPv6 headers have none, and a UDP checksum of zero means none.
    Absent,
    /// The bytes to be summed are not all there, or are not known to be what they seem: fragments,
    /// truncated and contradictory packets.
    Unknown,
}

/// The checksums of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Of the IP header.
    pub header: Sum,
    /// Of TCP, UDP or ICMP.
    pub transport: Sum,
}

impl Sums {
    const UNKNOWN: Self = Self {
        header: Sum::Unknown,
        transport: Sum::Unknown,
    };
}

/// Calculates the checksums of a frame.
pub fn sums(frame: &[u8]) -> Sums {
    SlicedPacket::from_ethernet(frame).map_or(Sums::UNKNOWN, |packet| judge_packet(&packet))
}

/// The checksums of a frame, or of what an ICMP error in it quotes, before and after a change that
/// has made one of them other than it was, unless it was wrong before.
pub fn spoilt(before: &[u8], after: &[u8]) -> Option<[Sums; 2]> {
    let kept = |(before, after): (Sum, Sum)| before == after || before == Sum::Wrong;
    let is_kept = |[before, after]: &[Sums; 2]| {
        kept((before.header, after.header)) && kept((before.transport, after.transport))
    };
    [
        [sums(before), sums(after)],
        [quoted_sums(before), quoted_sums(after)],
    ]
    .into_iter()
    .find(|pair| !is_kept(pair))
}

/// Calculates the checksums of the packet that an ICMP error in a frame quotes, as far as it does.
fn quoted_sums(frame: &[u8]) -> Sums {
    let Some(quotation) = quotation(frame) else {
        return Sums::UNKNOWN;
    };
    if let Ok(packet) = SlicedPacket::from_ip(quotation) {
        return judge_packet(&packet);
    }
    // The end is missing.
    let header = Ipv4HeaderSlice::from_slice(quotation);
    Sums {
        header: header.map_or(Sum::Unknown, |header| ipv4_header(&header)),
        transport: Sum::Unknown,
    }
}

/// What a frame with an ICMP message holds behind the message's header.
fn quotation(frame: &[u8]) -> Option<&[u8]> {
    match SlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Icmpv4(message) => message.slice().get(8..),
        TransportSlice::Icmpv6(message) => message.slice().get(8..),
        _ => None,
    }
}

fn judge_packet(packet: &SlicedPacket<'_>) -> Sums {
    match &packet.net {
        Some(NetSlice::Ipv4(slice)) => {
            let header = slice.header();
            Sums {
                header: ipv4_header(&header),
                transport: sctp(slice.payload()).unwrap_or_else(|| {
                    transport_ipv4(packet, header.source(), header.destination())
                }),
            }
        }
        Some(NetSlice::Ipv6(slice)) => Sums {
            header: Sum::Absent,
            transport: if routed(slice) {
                Sum::Unknown
            } else {
                let header = slice.header();
                sctp(slice.payload()).unwrap_or_else(|| {
                    transport_ipv6(packet, header.source(), header.destination())
                })
            },
        },
        Some(NetSlice::Arp(_)) | None => Sums::UNKNOWN,
    }
}

/// Of a whole SCTP packet, which etherparse does not know; nothing if it is none.
fn sctp(payload: &IpPayloadSlice<'_>) -> Option<Sum> {
    if payload.ip_number != IpNumber::SCTP || payload.fragmented {
        return None;
    }
    let (Some(before), Some(check), Some(after)) = (
        payload.payload.get(..8),
        payload.payload.get(8..).and_then(<[u8]>::first_chunk::<4>),
        payload.payload.get(12..),
    ) else {
        return Some(Sum::Unknown);
    };
    let mut digest = CRC32C.digest();
    for part in [before, &[0; 4], after] {
        digest.update(part);
    }
    let check = u32::from_le_bytes(*check);
    Some(match (check, digest.finalize()) {
        (0, _) => Sum::Absent,
        (check, calculated) if check == calculated => Sum::Right,
        _ => Sum::Wrong,
    })
}

fn transport_ipv4(packet: &SlicedPacket<'_>, source: [u8; 4], destination: [u8; 4]) -> Sum {
    match &packet.transport {
        Some(TransportSlice::Tcp(segment)) => tcp(
            segment,
            segment.calc_checksum_ipv4(source, destination).ok(),
        ),
        Some(TransportSlice::Udp(datagram)) => udp(
            datagram,
            datagram
                .to_header()
                .calc_checksum_ipv4_raw(source, destination, datagram.payload())
                .ok(),
        ),
        Some(TransportSlice::Icmpv4(message)) => {
            let sum = Sum16BitWords::new().add_slice(message.slice());
            judge(sum.ones_complement(), Some(0))
        }
        _ => Sum::Unknown,
    }
}

fn transport_ipv6(packet: &SlicedPacket<'_>, source: [u8; 16], destination: [u8; 16]) -> Sum {
    match &packet.transport {
        Some(TransportSlice::Tcp(segment)) => tcp(
            segment,
            segment.calc_checksum_ipv6(source, destination).ok(),
        ),
        Some(TransportSlice::Udp(datagram)) => udp(
            datagram,
            datagram
                .to_header()
                .calc_checksum_ipv6_raw(source, destination, datagram.payload())
                .ok(),
        ),
        Some(TransportSlice::Icmpv6(message)) => {
            if message.is_checksum_valid(source, destination) {
                Sum::Right
            } else {
                Sum::Wrong
            }
        }
        _ => Sum::Unknown,
    }
}

fn ipv4_header(header: &Ipv4HeaderSlice<'_>) -> Sum {
    judge(
        header.header_checksum(),
        Some(header.to_header().calc_header_checksum()),
    )
}

/// Whether the final destination, which the checksum covers, is not the header's
/// (RFC 8200 section 8.1).
fn routed(slice: &Ipv6Slice<'_>) -> bool {
    slice
        .extensions()
        .clone()
        .into_iter()
        .any(|extension| match extension {
            Ipv6ExtensionSlice::Routing(routing) => routing.slice().get(3) != Some(&0),
            _ => false,
        })
}

fn tcp(segment: &TcpSlice<'_>, calculated: Option<u16>) -> Sum {
    judge(segment.checksum(), calculated)
}

fn udp(datagram: &UdpSlice<'_>, calculated: Option<u16>) -> Sum {
    match datagram.checksum() {
        0 => Sum::Absent,
        check => judge(check, calculated),
    }
}

fn judge(check: u16, calculated: Option<u16>) -> Sum {
    match calculated {
        None => Sum::Unknown,
        Some(calculated) if calculated == check => Sum::Right,
        Some(_) => Sum::Wrong,
    }
}
