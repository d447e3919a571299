// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes to a datagram of ours, or the reason to leave the packet alone.

use crate::family::{Family, NETWORK_AT, Network, Piece};
use crate::packet::{OutOfPacket, Packet};
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

/// A TCP segment or UDP datagram: whole, or its first fragment.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct Datagram<A> {
    /// Who sends to whom.
    pub tuple: Tuple<A>,
    /// Where the transport header begins.
    pub transport_at: usize,
    /// Where the packet ends, by its own word; padding may follow.
    pub end: usize,
    /// TCP's flags; 0 for UDP and SCTP.
    pub tcp_flags: u8,
    /// Whether it is a first fragment; 0 = no.
    pub is_first: u8,
    /// The sender's number for it, of a fragment.
    pub identification: [u8; 4],
    /// Nothing.
    pub pad: [u8; 2],
    /// TCP's sequence number; this and the next two say nothing of UDP and SCTP.
    pub sequence: u32,
    /// What it acknowledges, if it does.
    pub acknowledges: u32,
    /// The sequence number of what follows it.
    pub next: u32,
    /// Nothing.
    pub pad_numbers: [u8; 4],
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
        .load_header(NETWORK_AT - 2, &mut ethertype)
        .map_err(malformed)?;
    match u16::from_be_bytes(ethertype) {
        // IEEE 802.1Q and 802.1ad.
        0x8100 | 0x88a8 => {
            let mut tag = [0; 2];
            packet.load(NETWORK_AT, &mut tag).map_err(malformed)?;
            let vlan = u16::from_be_bytes(tag) & 0x0fff;
            if vlan == 0 {
                Err(Reason::TaggedTwice)
            } else {
                Err(Reason::Tagged)
            }
        }
        ethertype => Ok(ethertype),
    }
}

/// The datagram in an IP packet. Of one without ports of ours, all else is there.
///
/// Out of line: what it keeps on the stack is gone when the deep calls come.
#[inline(never)]
pub fn parse<F: Family, P: Packet + ?Sized>(
    packet: &P,
    datagram: &mut Datagram<F::Address>,
) -> Result<(), Reason> {
    datagram.is_first = 0;
    let tuple = &mut datagram.tuple;
    let network = F::network(packet, NETWORK_AT, tuple, &mut datagram.identification)?;
    let Network {
        protocol,
        transport_at,
        end,
        piece,
    } = network;
    datagram.is_first = u8::from(matches!(piece, Piece::First | Piece::Short));
    tuple.set_ports([0; 2], [0; 2], protocol);
    datagram.transport_at = transport_at;
    datagram.end = end;
    match piece {
        Piece::Whole | Piece::First => {}
        Piece::Short => return Err(Reason::FragmentShort),
        Piece::Later => return Err(Reason::Fragment),
    }
    let (ports, tcp_flags, length) = match protocol {
        protocol::TCP => {
            let mut header = [0; 20];
            let loaded = packet.load_header(transport_at, &mut header);
            loaded.map_err(|OutOfPacket| cut_short(datagram.is_first))?;
            let [s0, s1, d0, d1, numbers @ ..] = header;
            let [q0, q1, q2, q3, a0, a1, a2, a3, offset, tcp_flags, ..] = numbers;
            datagram.sequence = u32::from_be_bytes([q0, q1, q2, q3]);
            datagram.acknowledges = u32::from_be_bytes([a0, a1, a2, a3]);
            let room = end.saturating_sub(transport_at);
            let length = segment_length(room, offset, tcp_flags);
            datagram.next = datagram.sequence.wrapping_add(length);
            ([s0, s1, d0, d1], tcp_flags, 20)
        }
        protocol::UDP => {
            let mut header = [0; 8];
            let loaded = packet.load_header(transport_at, &mut header);
            loaded.map_err(|OutOfPacket| cut_short(datagram.is_first))?;
            let [s0, s1, d0, d1, ..] = header;
            ([s0, s1, d0, d1], 0, 8)
        }
        // A correction of CRC32c depends on how much follows, which a first fragment does not tell.
        protocol::SCTP if datagram.is_first != 0 => return Err(Reason::FragmentShort),
        protocol::SCTP => {
            let mut header = [0; sctp::HEADER];
            packet.load(transport_at, &mut header).map_err(malformed)?;
            let [s0, s1, d0, d1, ..] = header;
            ([s0, s1, d0, d1], 0, sctp::HEADER)
        }
        _ => return Err(Reason::OtherProtocol),
    };
    // Bytes behind the packet's own end are padding, not a header.
    if datagram.end < transport_at + length {
        return Err(cut_short(datagram.is_first));
    }
    let [s0, s1, d0, d1] = ports;
    tuple.set_ports([s0, s1], [d0, d1], protocol);
    datagram.tcp_flags = tcp_flags;
    Ok(())
}

/// How many sequence numbers a TCP segment takes that has so many bytes, its header included: its
/// payload, SYN and FIN. A header that claims to be longer than the segment leaves no payload.
#[inline(always)]
fn segment_length(room: usize, data_offset: u8, tcp_flags: u8) -> u32 {
    let has = |flag: u8| usize::from(tcp_flags & flag != 0);
    let header = usize::from(data_offset >> 4) << 2;
    let length = room
        .saturating_sub(header)
        .wrapping_add(has(flags::SYN))
        .wrapping_add(has(flags::FIN));
    let [l0, l1, l2, l3, ..] = length.to_le_bytes();
    u32::from_le_bytes([l0, l1, l2, l3])
}

/// What a packet is that ends before its transport header does.
#[inline(always)]
fn cut_short(is_first: u8) -> Reason {
    if is_first == 0 {
        Reason::Malformed
    } else {
        Reason::FragmentShort
    }
}

/// A header that the packet is too short for.
#[inline(always)]
pub(crate) fn malformed(_: OutOfPacket) -> Reason {
    Reason::Malformed
}
