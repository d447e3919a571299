// SPDX-License-Identifier: MIT OR Apache-2.0
//! IPv4 and IPv6: the only place where the two differ.
//!
//! Everything else is written once, generic over [`Family`].

use crate::csum::Change;
use crate::packet::{OutOfPacket, Packet, Part};
use crate::parse::malformed;
use crate::verdict::Reason;
use crate::wire::Tuple;
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
    /// The words that the flow's hash is made of.
    type Words: AsRef<[u64]>;

    /// Reads the IP header and what stands between it and the transport header.
    fn network<P: Packet + ?Sized>(
        packet: &P,
        source: &mut Self::Address,
        destination: &mut Self::Address,
    ) -> Result<Network, Reason>;
    /// Writes both addresses and corrects the header's own checksum, where there is one.
    fn store_addresses<P: Packet + ?Sized>(
        packet: &mut P,
        source: Self::Address,
        destination: Self::Address,
        change: Change,
    ) -> Result<(), OutOfPacket>;
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
}

impl Family for V4 {
    type Address = [u8; 4];
    type Words = [u64; 3];
    const ETHERTYPE: u16 = 0x0800;
    const PSEUDO_HEADER: Part = Part::BalancedAddresses;

    #[inline(always)]
    fn network<P: Packet + ?Sized>(
        packet: &P,
        source: &mut [u8; 4],
        destination: &mut [u8; 4],
    ) -> Result<Network, Reason> {
        let mut header = [0; 20];
        packet.load(NETWORK_AT, &mut header).map_err(malformed)?;
        let [
            first,
            _,
            l0,
            l1,
            _,
            _,
            f0,
            f1,
            _,
            protocol,
            _,
            _,
            addresses @ ..,
        ] = header;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        let header_length = usize::from(first & 0x0f) << 2;
        let total_length = usize::from(u16::from_be_bytes([l0, l1]));
        if first >> 4 != 4 || header_length < 20 || total_length < header_length {
            return Err(Reason::Malformed);
        }
        // More fragments, or an offset (RFC 791); the "don't fragment" bit says nothing here.
        if u16::from_be_bytes([f0, f1]) & 0x3fff != 0 {
            return Err(Reason::Fragment);
        }
        *source = [s0, s1, s2, s3];
        *destination = [d0, d1, d2, d3];
        Ok(Network {
            protocol,
            transport_at: NETWORK_AT + header_length,
            end: NETWORK_AT + total_length,
        })
    }

    #[inline(always)]
    fn store_addresses<P: Packet + ?Sized>(
        packet: &mut P,
        [s0, s1, s2, s3]: [u8; 4],
        [d0, d1, d2, d3]: [u8; 4],
        change: Change,
    ) -> Result<(), OutOfPacket> {
        packet.correct_header_checksum(NETWORK_AT + 10, change)?;
        packet.store(NETWORK_AT + 12, &[s0, s1, s2, s3, d0, d1, d2, d3])
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
    fn widen([a, b, c, d]: [u8; 4]) -> WideAddress {
        [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    #[inline(always)]
    fn narrow([a, b, c, d, ..]: WideAddress) -> [u8; 4] {
        [a, b, c, d]
    }
}

/// Extension headers before the transport header that we walk over; RFC 8200, section 4.1 has six.
const EXTENSIONS_MAX: usize = 6;

impl Family for V6 {
    type Address = [u8; 16];
    type Words = [u64; 6];
    const ETHERTYPE: u16 = 0x86dd;
    const PSEUDO_HEADER: Part = Part::Addresses;

    #[inline(always)]
    fn network<P: Packet + ?Sized>(
        packet: &P,
        source: &mut [u8; 16],
        destination: &mut [u8; 16],
    ) -> Result<Network, Reason> {
        let mut fixed = [0; 8];
        packet.load(NETWORK_AT, &mut fixed).map_err(malformed)?;
        let [first, _, _, _, l0, l1, next, _] = fixed;
        if first >> 4 != 6 {
            return Err(Reason::Malformed);
        }
        packet.load(NETWORK_AT + 8, source).map_err(malformed)?;
        packet
            .load(NETWORK_AT + 24, destination)
            .map_err(malformed)?;
        let (protocol, transport_at) = walk_extensions(packet, next)?;
        let payload_length = usize::from(u16::from_be_bytes([l0, l1]));
        let end = NETWORK_AT + 40 + payload_length;
        Ok(Network {
            protocol,
            transport_at,
            end,
        })
    }

    #[inline(always)]
    fn store_addresses<P: Packet + ?Sized>(
        packet: &mut P,
        source: [u8; 16],
        destination: [u8; 16],
        _no_header_checksum: Change,
    ) -> Result<(), OutOfPacket> {
        packet.store(NETWORK_AT + 8, &source)?;
        packet.store(NETWORK_AT + 24, &destination)
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

/// The first header that is no extension header (RFC 8200, section 4), and where it begins.
#[inline(always)]
fn walk_extensions<P: Packet + ?Sized>(packet: &P, first: u8) -> Result<(u8, usize), Reason> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION: u8 = 60;
    let mut kind = first;
    let mut at = NETWORK_AT + 40;
    for _ in 0..EXTENSIONS_MAX {
        if !matches!(kind, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION) {
            return Ok((kind, at));
        }
        let mut header = [0; 4];
        packet.load(at, &mut header).map_err(malformed)?;
        let [next, length, third, fourth] = header;
        match kind {
            // A fragment header with neither offset nor "more" is a whole packet (RFC 6946).
            FRAGMENT if u16::from_be_bytes([third, fourth]) & 0xfff9 != 0 => {
                return Err(Reason::Fragment);
            }
            FRAGMENT => at += 8,
            // The destination is not the final one while segments are left.
            ROUTING if fourth != 0 => return Err(Reason::Extension),
            _ => at += (usize::from(length) + 1) << 3,
        }
        kind = next;
    }
    Err(Reason::Extension)
}
