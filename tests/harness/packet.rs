// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames for rows: what a test says about a packet, and the bytes that follow from it.
//!
//! `tcp(client, service).syn().bytes()` is a whole Ethernet frame with right lengths and
//! checksums; every further method bends one thing. Lengths that lie are bent last, so the rest of
//! the frame stays what it would have been. The builder shares no code with `lb-common`: checksums
//! come from etherparse, and [`sums`] asks etherparse again about finished bytes.

mod segment;
mod encode;
pub mod answers;
pub mod sums;
#[cfg(test)]
mod tests;

use lb_common::wire::protocol;
use std::net::{IpAddr, SocketAddr};

/// TCP flags, RFC 9293 section 3.1.
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
}

/// Bytes of an Ethernet header without tags.
const ETHERNET: usize = 14;

/// One frame, not yet bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    source: SocketAddr,
    destination: SocketAddr,
    transport: Transport,
    payload: Vec<u8>,
    tags: Vec<[u16; 2]>,
    ipv4_options: Vec<u8>,
    fragment: Option<(u16, bool)>,
    is_unbreakable: bool,
    identification: u16,
    hops: u8,
    is_answer: bool,
    extensions: Vec<Extension>,
    lies: Vec<Lie>,
}

/// Stations that frames go from and to.
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], STATION];
/// The station that frames are sent to.
pub const STATION: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Sequence number of every segment of a client, who sends SYNs and has the higher port; that of
/// its SYN is the one before. A server's segments acknowledge it.
pub const SEQUENCE: u32 = 0x0102_0304;
/// What every segment of a client acknowledges, if it acknowledges anything: the server's number.
pub const ACKNOWLEDGED: u32 = 0x0506_0708;

/// What follows the IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Transport {
    Tcp {
        flags: u8,
        options: Vec<u8>,
        numbers: Option<[u32; 2]>,
    },
    Udp {
        checksum: bool,
    },
    Sctp {
        checksum: bool,
    },
    Icmp {
        kind: [u8; 2],
        rest: [u8; 4],
    },
    Other(u8),
}

/// An IPv6 extension header (RFC 8200 section 4), or AH (RFC 4302), which IPv4 may bear as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Hop-by-hop options: so many bytes of padding, 6 + 8 n.
    HopByHop(u8),
    /// Routing header of type 0 with so many segments left and no address.
    Routing(u8),
    /// Fragment header: offset in units of 8 bytes, and whether more fragments follow.
    Fragment(u16, bool),
    /// Authentication header with so many 32-bit words of integrity check value.
    Authentication(u8),
    /// Destination options: so many bytes of padding, 6 + 8 n.
    Destination(u8),
}

/// A field that does not say what is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    EtherType(u16),
    Protocol(u8),
    Version(u8),
    HeaderWords(u8),
    TotalLength(u16),
    DataOffset(u8),
    UdpLength(u16),
    Truncated(usize),
}

/// A TCP segment without flags.
pub fn tcp(source: SocketAddr, destination: SocketAddr) -> Frame {
    let transport = Transport::Tcp {
        flags: 0,
        options: Vec::new(),
        numbers: None,
    };
    frame(source, destination, transport)
}

/// A UDP datagram with a checksum.
pub fn udp(source: SocketAddr, destination: SocketAddr) -> Frame {
    frame(source, destination, Transport::Udp { checksum: true })
}

/// An SCTP packet with its checksum; the payload stands for its chunks.
pub fn sctp(source: SocketAddr, destination: SocketAddr) -> Frame {
    frame(source, destination, Transport::Sctp { checksum: true })
}

/// A segment of the protocol with this IP number that opens a flow: a SYN or a datagram.
///
/// # Panics
///
/// For another protocol than TCP, UDP and SCTP.
pub fn opening(number: u8, source: SocketAddr, destination: SocketAddr) -> Frame {
    match number {
        protocol::TCP => tcp(source, destination).syn(),
        protocol::UDP => udp(source, destination),
        protocol::SCTP => sctp(source, destination),
        other => panic!("protocol {other} has no ports here"),
    }
}

/// An ICMP message of the family: its type and code.
pub fn icmp(kind: [u8; 2], source: IpAddr, destination: IpAddr) -> Frame {
    let (source, destination) = ((source, 0).into(), (destination, 0).into());
    let rest = [0; 4];
    frame(source, destination, Transport::Icmp { kind, rest })
}

/// A packet of a protocol without ports; the payload stands right after the IP header.
pub fn other(number: u8, source: IpAddr, destination: IpAddr) -> Frame {
    let (source, destination) = ((source, 0).into(), (destination, 0).into());
    frame(source, destination, Transport::Other(number))
}

fn frame(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Frame {
    assert_eq!(
        source.is_ipv4(),
        destination.is_ipv4(),
        "one family a frame"
    );
    Frame {
        source,
        destination,
        transport,
        payload: Vec::new(),
        tags: Vec::new(),
        ipv4_options: Vec::new(),
        fragment: None,
        is_unbreakable: false,
        identification: 0x1234,
        hops: 64,
        is_answer: false,
        extensions: Vec::new(),
        lies: Vec::new(),
    }
}

impl Frame {
    /// The whole frame.
    pub fn bytes(&self) -> Vec<u8> {
        encode::bytes(self)
    }

    /// Leaves the checksum out (RFC 768 and RFC 9653: a zero means none).
    #[must_use]
    pub fn no_checksum(mut self) -> Self {
        self.transport = match self.transport {
            Transport::Sctp { .. } => Transport::Sctp { checksum: false },
            _ => Transport::Udp { checksum: false },
        };
        self
    }

    /// The second four bytes of an ICMP header, such as the MTU.
    ///
    /// # Panics
    ///
    /// For a frame that is not ICMP.
    #[must_use]
    pub fn icmp_rest(mut self, bytes: [u8; 4]) -> Self {
        match &mut self.transport {
            Transport::Icmp { rest, .. } => *rest = bytes,
            _ => panic!("only ICMP has that"),
        }
        self
    }

    /// Lets an ICMP error quote another frame from its IP header on, at most so many bytes of it.
    #[must_use]
    pub fn about(self, quoted: &Self, length: usize) -> Self {
        let bytes = quoted.bytes();
        let packet = &bytes[ETHERNET..];
        self.payload(&packet[..length.min(packet.len())])
    }

    /// What the transport carries.
    #[must_use]
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }

    /// One more VLAN tag inside of those there are: its TPID (0x8100, 0x88a8) and VLAN id.
    #[must_use]
    pub fn tagged(mut self, tpid: u16, vlan: u16) -> Self {
        self.tags.push([tpid, vlan]);
        self
    }

    /// IPv4 options; a multiple of four bytes, at most 40.
    #[must_use]
    pub fn ipv4_options(mut self, bytes: &[u8]) -> Self {
        self.ipv4_options = bytes.to_vec();
        self
    }

    /// Makes it a fragment, of either family: offset in units of 8 bytes, and whether more follow.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        if self.source.is_ipv4() {
            self.fragment = Some((offset, more));
            return self;
        }
        self.extension(Extension::Fragment(offset, more))
    }

    /// Forbids routers to break it up, as IPv6 does anyway.
    #[must_use]
    pub fn unbreakable(mut self) -> Self {
        self.is_unbreakable = true;
        self
    }

    /// Another number for what it is a fragment of than all others have.
    #[must_use]
    pub fn identified(mut self, identification: u16) -> Self {
        self.identification = identification;
        self
    }

    /// The fragments of it with so many bytes each, a multiple of eight, in order.
    ///
    /// # Panics
    ///
    /// When there are none of that size, or it is longer than any packet.
    pub fn pieces(&self, size: usize) -> Vec<Self> {
        let (number, segment) = encode::transport(self);
        let last = segment.len().div_ceil(size).saturating_sub(1);
        let piece = |(index, bytes): (usize, &[u8])| {
            let offset = u16::try_from(index * size / 8).expect("a test's packet is short");
            let piece = Self {
                transport: Transport::Other(number),
                ..self.clone()
            };
            piece.payload(bytes).fragment(offset, index != last)
        };
        segment.chunks(size).enumerate().map(piece).collect()
    }

    /// How many hops it may still make.
    #[must_use]
    pub fn hops(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// One more extension header behind those there are.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Another `EtherType` than the family's.
    #[must_use]
    pub fn claims_ether_type(self, value: u16) -> Self {
        self.lie(Lie::EtherType(value))
    }

    /// Another protocol in the IP header than what follows.
    #[must_use]
    pub fn claims_protocol(self, number: u8) -> Self {
        self.lie(Lie::Protocol(number))
    }

    /// Another IP version (4 bits) than the family's.
    #[must_use]
    pub fn claims_version(self, value: u8) -> Self {
        self.lie(Lie::Version(value))
    }

    /// Another IPv4 header length, in 32-bit words (4 bits).
    #[must_use]
    pub fn claims_header_words(self, value: u8) -> Self {
        self.lie(Lie::HeaderWords(value))
    }

    /// Another IPv4 total length or IPv6 payload length.
    #[must_use]
    pub fn claims_length(self, value: u16) -> Self {
        self.lie(Lie::TotalLength(value))
    }

    /// Another TCP data offset, in 32-bit words (4 bits).
    #[must_use]
    pub fn claims_data_offset(self, value: u8) -> Self {
        self.lie(Lie::DataOffset(value))
    }

    /// Another UDP length.
    #[must_use]
    pub fn claims_udp_length(self, value: u16) -> Self {
        self.lie(Lie::UdpLength(value))
    }

    /// Only so many bytes arrive, counted from the Ethernet header on; the headers do not know.
    #[must_use]
    pub fn truncated(self, length: usize) -> Self {
        self.lie(Lie::Truncated(length))
    }

    fn lie(mut self, lie: Lie) -> Self {
        self.lies.push(lie);
        self
    }
}
