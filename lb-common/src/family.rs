// SPDX-License-Identifier: MIT OR Apache-2.0
//! IPv4 and IPv6: the only place where the two differ.
//!
//! Everything else is written once, generic over [`Family`].

mod extensions;
mod own;

pub use own::Own;

use crate::csum::{Change, add_to};
use crate::packet::{OutOfPacket, Packet, Part};
use crate::verdict::Reason;
use crate::wire::{Tuple, put};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

/// Bytes of an Ethernet header without tags: where the IP header begins.
pub const NETWORK_AT: usize = 14;

/// An address as map values hold it: 16 bytes in network order, IPv4 in the first four.
pub type WideAddress = [u8; 16];

/// What IPv4 and IPv6 disagree on.
pub trait Family: Copy + 'static {
    /// An address in network byte order.
    type Address: Copy
        + Eq
        + Ord
        + core::fmt::Debug
        + FromBytes
        + IntoBytes
        + Immutable
        + KnownLayout
        + Unaligned
        + 'static;

    /// `EtherType` of this family (IEEE 802 numbers).
    const ETHERTYPE: u16;
    /// How a change of addresses enters a transport checksum.
    const PSEUDO_HEADER: Part;
    /// Whether datagrams of two protocols may have the same identification at once.
    const PROTOCOL_NAMES_FRAGMENTS: bool;
    /// Protocol number of this family's ICMP.
    const ICMP: u8;
    /// The words that the flow's hash is made of.
    type Words: AsRef<[u64]>;

    /// Bytes of an IP header without options or extension headers.
    const HEADER: usize;

    /// Reads the IP header that begins at an offset, and what stands between it and the transport
    /// header: who sends to whom, and of a fragment the sender's number for the datagram. Where the
    /// packet is too short for addresses, they are zeros.
    fn network<P: Packet + ?Sized>(
        packet: &P,
        at: usize,
        tuple: &mut Tuple<Self::Address>,
        identification: &mut [u8; 4],
    ) -> Result<Network, Reason>;
    /// Sets a tuple's addresses. It is a key, and read in whole words: a processor has to wait for
    /// what has just been written in smaller pieces.
    fn set_addresses(
        tuple: &mut Tuple<Self::Address>,
        source: Self::Address,
        destination: Self::Address,
    );
    /// Writes both addresses into the IP header that begins at an offset, and corrects its own
    /// checksum, where there is one.
    fn store_addresses<P: Packet + ?Sized>(
        packet: &mut P,
        at: usize,
        source: Self::Address,
        destination: Self::Address,
        change: Change,
    ) -> Result<(), OutOfPacket>;
    /// The same, and both ports, where the transport header follows at once: one write.
    fn store_ends<P: Packet + ?Sized>(
        packet: &mut P,
        at: usize,
        to: &Tuple<Self::Address>,
        change: Change,
    ) -> Result<(), OutOfPacket>;
    /// Whether an ICMP message of this type says that a packet was not delivered, and quotes it.
    fn is_error(icmp_type: u8) -> bool;
    /// What another address means for a checksum that covers it.
    fn change(old: &Self::Address, new: &Self::Address) -> Change;
    /// The tuple as words, after one that says what the hash is for.
    fn words(purpose: u64, tuple: Tuple<Self::Address>) -> Self::Words;
    /// The address as map values hold it.
    fn widen(address: Self::Address) -> WideAddress;
    /// The address that [`Family::widen`] was given.
    fn narrow(wide: WideAddress) -> Self::Address;
}

/// IPv4 (RFC 791).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct V4;

/// IPv6 (RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct V6;

/// What the IP header says besides the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Protocol of the transport header.
    pub protocol: u8,
    /// Where the transport header begins.
    pub transport_at: usize,
    /// Where the packet ends, by its own word; padding may follow.
    pub end: usize,
    /// How much of the datagram it is.
    pub piece: Piece,
}

/// How much of a datagram an IP packet holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// All of it.
    Whole,
    /// The beginning, with the transport header.
    First,
    /// The beginning, which ends before the transport header begins.
    Short,
    /// A later part.
    Later,
}

impl Piece {
    #[inline(always)]
    fn of(is_later: bool, has_more: bool) -> Self {
        match (is_later, has_more) {
            (false, false) => Self::Whole,
            (false, true) => Self::First,
            (true, _) => Self::Later,
        }
    }
}

impl Family for V4 {
    type Address = [u8; 4];
    type Words = [u64; 3];
    const ETHERTYPE: u16 = 0x0800;
    const PSEUDO_HEADER: Part = Part::BalancedAddresses;
    // RFC 791: source, destination, protocol and identification name a datagram.
    const PROTOCOL_NAMES_FRAGMENTS: bool = true;
    const ICMP: u8 = 1;
    const HEADER: usize = 20;

    #[inline(always)]
    fn network<P: Packet + ?Sized>(
        packet: &P,
        at: usize,
        tuple: &mut Tuple<[u8; 4]>,
        identification: &mut [u8; 4],
    ) -> Result<Network, Reason> {
        let mut fixed = [0; 12];
        let loaded = packet.load_header(at, &mut fixed);
        loaded.map_err(|OutOfPacket| unread::<Self>(tuple))?;
        let [first, _, l0, l1, i0, i1, f0, f1, _, protocol, _, _] = fixed;
        let addresses = tuple.as_mut_bytes().first_chunk_mut::<8>();
        let loaded = packet.load_header(at + 12, addresses.ok_or(Reason::Malformed)?);
        loaded.map_err(|OutOfPacket| unread::<Self>(tuple))?;
        let header_length = usize::from(first & 0x0f) << 2;
        let end = match u16::from_be_bytes([l0, l1]) {
            0 => packet.long_end().ok_or(Reason::Malformed)?,
            total_length => at + usize::from(total_length),
        };
        if first >> 4 != 4 || header_length < 20 || end < at + header_length {
            return Err(Reason::Malformed);
        }
        // An offset, and more fragments (RFC 791); the "don't fragment" bit says nothing here.
        let fragment = u16::from_be_bytes([f0, f1]);
        let piece = Piece::of(fragment & 0x1fff != 0, fragment & 0x2000 != 0);
        *identification = [0, 0, i0, i1];
        Ok(Network {
            protocol,
            transport_at: at + header_length,
            end,
            piece,
        })
    }

    #[inline(always)]
    fn set_addresses(tuple: &mut Tuple<[u8; 4]>, source: [u8; 4], destination: [u8; 4]) {
        if let Some(addresses) = tuple.as_mut_bytes().first_chunk_mut() {
            put(addresses, transmute!([source, destination]));
        }
    }

    #[inline(always)]
    fn store_addresses<P: Packet + ?Sized>(
        packet: &mut P,
        at: usize,
        source: [u8; 4],
        destination: [u8; 4],
        change: Change,
    ) -> Result<(), OutOfPacket> {
        let end = header_end(packet, at, source, destination, change)?;
        packet.store(at + 10, &end)
    }

    #[inline(always)]
    fn store_ends<P: Packet + ?Sized>(
        packet: &mut P,
        at: usize,
        to: &Tuple<[u8; 4]>,
        change: Change,
    ) -> Result<(), OutOfPacket> {
        let [c0, c1, s0, s1, s2, s3, d0, d1, d2, d3] =
            header_end(packet, at, to.source, to.destination, change)?;
        let [p0, p1] = to.source_port;
        let [q0, q1] = to.destination_port;
        let ends = [c0, c1, s0, s1, s2, s3, d0, d1, d2, d3, p0, p1, q0, q1];
        packet.store(at + 10, &ends)
    }

    #[inline(always)]
    fn is_error(icmp_type: u8) -> bool {
        // RFC 792: destination unreachable, source quench, time exceeded, parameter problem. A
        // redirect is about a route of the next machine alone.
        matches!(icmp_type, 3 | 4 | 11 | 12)
    }

    #[inline(always)]
    fn change(old: &[u8; 4], new: &[u8; 4]) -> Change {
        Change::between(old, new)
    }

    #[inline(always)]
    fn words(purpose: u64, tuple: Tuple<[u8; 4]>) -> [u64; 3] {
        let [a, b]: [u64; 2] = transmute!(tuple);
        [purpose, a, b]
    }

    #[inline(always)]
    fn widen(address: [u8; 4]) -> WideAddress {
        // As words, for the reason that `Route::ask` has.
        let word: u32 = transmute!(address);
        transmute!([u64::from(word.to_le()).to_le(), 0])
    }

    #[inline(always)]
    fn narrow(wide: WideAddress) -> [u8; 4] {
        let [word, ..]: [u32; 4] = transmute!(wide);
        transmute!(word)
    }
}

/// What a packet is whose addresses cannot be read. Those of the one before say nothing of it.
#[inline(always)]
fn unread<F: Family>(tuple: &mut Tuple<F::Address>) -> Reason {
    let none = F::narrow([0; 16]);
    F::set_addresses(tuple, none, none);
    Reason::Malformed
}

/// The end of IPv4's fixed header after a change of its addresses: its checksum, and both of them.
#[inline(always)]
fn header_end<P: Packet + ?Sized>(
    packet: &P,
    at: usize,
    [s0, s1, s2, s3]: [u8; 4],
    [d0, d1, d2, d3]: [u8; 4],
    change: Change,
) -> Result<[u8; 10], OutOfPacket> {
    let mut check = [0; 2];
    packet.load_header(at + 10, &mut check)?;
    let [c0, c1] = add_to(check, change);
    Ok([c0, c1, s0, s1, s2, s3, d0, d1, d2, d3])
}

impl Family for V6 {
    type Address = [u8; 16];
    type Words = [u64; 6];
    const ETHERTYPE: u16 = 0x86dd;
    const PSEUDO_HEADER: Part = Part::Addresses;
    // RFC 8200, section 4.5: both addresses and the identification do.
    const PROTOCOL_NAMES_FRAGMENTS: bool = false;
    const ICMP: u8 = 58;
    const HEADER: usize = 40;

    #[inline(always)]
    fn network<P: Packet + ?Sized>(
        packet: &P,
        at: usize,
        tuple: &mut Tuple<[u8; 16]>,
        identification: &mut [u8; 4],
    ) -> Result<Network, Reason> {
        let mut fixed = [0; 8];
        let loaded = packet.load_header(at, &mut fixed);
        loaded.map_err(|OutOfPacket| unread::<Self>(tuple))?;
        let [first, _, _, _, l0, l1, next, _] = fixed;
        if first >> 4 != 6 {
            return Err(unread::<Self>(tuple));
        }
        let addresses = tuple.as_mut_bytes().first_chunk_mut::<32>();
        let loaded = packet.load_header(at + 8, addresses.ok_or(Reason::Malformed)?);
        loaded.map_err(|OutOfPacket| unread::<Self>(tuple))?;
        let payload_at = at + 40;
        let end = match u16::from_be_bytes([l0, l1]) {
            0 => packet.long_end().unwrap_or(payload_at),
            payload_length => payload_at + usize::from(payload_length),
        };
        let mut network = Network {
            protocol: next,
            transport_at: payload_at,
            end,
            piece: Piece::Whole,
        };
        *identification = [0; 4];
        extensions::walk(packet, &mut network, identification)?;
        Ok(network)
    }

    #[inline(always)]
    fn set_addresses(tuple: &mut Tuple<[u8; 16]>, source: [u8; 16], destination: [u8; 16]) {
        tuple.source = source;
        tuple.destination = destination;
    }

    #[inline(always)]
    fn store_addresses<P: Packet + ?Sized>(
        packet: &mut P,
        at: usize,
        source: [u8; 16],
        destination: [u8; 16],
        _no_header_checksum: Change,
    ) -> Result<(), OutOfPacket> {
        packet.store(at + 8, &source)?;
        packet.store(at + 24, &destination)
    }

    #[inline(always)]
    fn store_ends<P: Packet + ?Sized>(
        packet: &mut P,
        at: usize,
        to: &Tuple<[u8; 16]>,
        _no_header_checksum: Change,
    ) -> Result<(), OutOfPacket> {
        // A tuple begins as the packet does: both addresses, both ports.
        let ends = to.as_bytes().first_chunk::<36>().ok_or(OutOfPacket)?;
        packet.store(at + 8, ends)
    }

    #[inline(always)]
    fn is_error(icmp_type: u8) -> bool {
        // RFC 4443, section 2.1 keeps 0 to 127 for errors; those of sections 3.1 to 3.4 exist.
        matches!(icmp_type, 1..=4)
    }

    #[inline(always)]
    fn change(old: &[u8; 16], new: &[u8; 16]) -> Change {
        Change::between(old, new)
    }

    #[inline(always)]
    fn words(purpose: u64, tuple: Tuple<[u8; 16]>) -> [u64; 6] {
        let [w0, w1, w2, w3, w4]: [u64; 5] = transmute!(tuple);
        [purpose, w0, w1, w2, w3, w4]
    }

    #[inline(always)]
    fn widen(address: [u8; 16]) -> WideAddress {
        address
    }

    #[inline(always)]
    fn narrow(wide: WideAddress) -> [u8; 16] {
        wide
    }
}
