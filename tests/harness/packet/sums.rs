// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the checksums of a finished frame are right, calculated anew by etherparse.

use etherparse::{
    Ipv4HeaderSlice, Ipv6ExtensionSlice, Ipv6Slice, NetSlice, SlicedPacket, TcpSlice,
    TransportSlice, UdpSlice,
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
    /// Of TCP or UDP.
    pub transport: Sum,
}

/// Calculates the checksums of a frame.
pub fn sums(frame: &[u8]) -> Sums {
    let unknown = Sums {
        header: Sum::Unknown,
        transport: Sum::Unknown,
    };
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else {
        return unknown;
    };
    match &packet.net {
        Some(NetSlice::Ipv4(slice)) => {
            let header = slice.header();
            let (source, destination) = (header.source(), header.destination());
            let transport = match &packet.transport {
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
                _ => Sum::Unknown,
            };
            Sums {
                header: ipv4_header(&header),
                transport,
            }
        }
        Some(NetSlice::Ipv6(slice)) if routed(slice) => Sums {
            header: Sum::Absent,
            ..unknown
        },
        Some(NetSlice::Ipv6(slice)) => {
            let (source, destination) = (slice.header().source(), slice.header().destination());
            let transport = match &packet.transport {
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
                _ => Sum::Unknown,
            };
            Sums {
                header: Sum::Absent,
                transport,
            }
        }
        Some(NetSlice::Arp(_)) | None => unknown,
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
