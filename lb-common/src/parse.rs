// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes to a datagram of ours, or the reason to leave the packet alone.

use crate::family::{Family, NETWORK_AT, Network, Piece};
use crate::packet::Packet;
use crate::sctp;
use crate::verdict::Reason;
use crate::wire::{Tuple, protocol};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// TCP flags (RFC 9293, section 3.1).
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 0x10;
}

/// A whole TCP segment or UDP datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct Datagram<A> {
    /// Who sends to whom.
    pub tuple: Tuple<A>,
    /// Where the transport header begins.
    pub transport_at: usize,
    /// Where the packet ends; padding may follow.
    pub end: usize,
    /// TCP's flags; 0 for UDP and SCTP.
    pub tcp_flags: u8,
    /// Nothing.
    pub pad: [u8; 7],
}

impl<A> Datagram<A> {
    /// Whether it is TCP.
    #[inline(always)]
    pub fn is_tcp(&self) -> bool {
        self.tuple.protocol == protocol::TCP
    }

    /// Whether it asks for a new connection: SYN alone (RFC 9293, section 3.5).
    #[inline(always)]
    pub fn opens(&self) -> bool {
        self.tcp_flags & (flags::SYN | flags::ACK | flags::RST | flags::FIN) == flags::SYN
    }
}

/// `EtherType` of the packet, unless a VLAN tag says that it belongs to another interface.
#[inline(always)]
pub fn ethertype<P: Packet + ?Sized>(packet: &P) -> Result<u16, Reason> {
    if packet.has_offloaded_tag() {
        return Err(Reason::Tagged);
    }
    let mut ethertype = [0; 2];
    packet
        .load(NETWORK_AT - 2, &mut ethertype)
        .map_err(malformed)?;
    match u16::from_be_bytes(ethertype) {
        // IEEE 802.1Q and 802.1ad.
        0x8100 | 0x88a8 => Err(Reason::Tagged),
        ethertype => Ok(ethertype),
    }
}

/// The datagram in an IP packet. Of one without ports of ours, all else is there.
#[inline(always)]
pub fn parse<F: Family, P: Packet + ?Sized>(
    packet: &P,
    datagram: &mut Datagram<F::Address>,
) -> Result<(), Reason> {
    let tuple = &mut datagram.tuple;
    let network = F::network(
        packet,
        NETWORK_AT,
        &mut tuple.source,
        &mut tuple.destination,
    )?;
    if network.piece != Piece::Whole {
        return Err(Reason::Fragment);
    }
    let Network {
        protocol,
        transport_at,
        end,
        ..
    } = network;
    tuple.protocol = protocol;
    tuple.pad = [0; 3];
    datagram.transport_at = transport_at;
    datagram.end = end;
    let (ports, tcp_flags, length) = match protocol {
        protocol::TCP => {
            let mut header = [0; 20];
            packet.load(transport_at, &mut header).map_err(malformed)?;
            let [s0, s1, d0, d1, _, _, _, _, _, _, _, _, _, tcp_flags, ..] = header;
            ([s0, s1, d0, d1], tcp_flags, 20)
        }
        protocol::UDP => {
            let mut header = [0; 8];
            packet.load(transport_at, &mut header).map_err(malformed)?;
            let [s0, s1, d0, d1, ..] = header;
            ([s0, s1, d0, d1], 0, 8)
        }
        protocol::SCTP => {
            let mut header = [0; sctp::HEADER];
            packet.load(transport_at, &mut header).map_err(malformed)?;
            let [s0, s1, d0, d1, ..] = header;
            ([s0, s1, d0, d1], 0, sctp::HEADER)
        }
        _ => return Err(Reason::OtherProtocol),
    };
    // Bytes behind the packet's own end are padding, not a header.
    if end < transport_at + length {
        return Err(Reason::Malformed);
    }
    let [s0, s1, d0, d1] = ports;
    tuple.source_port = [s0, s1];
    tuple.destination_port = [d0, d1];
    datagram.tcp_flags = tcp_flags;
    Ok(())
}

/// A header that the packet is too short for.
#[inline(always)]
pub(crate) fn malformed(_: crate::packet::OutOfPacket) -> Reason {
    Reason::Malformed
}
