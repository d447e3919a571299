// SPDX-License-Identifier: MIT OR Apache-2.0
//! IPv4 and IPv6: the only place where the two differ.
//!
//! Everything else is written once, generic over [`Family`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

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
    /// Where the source address stands, counted from the start of the IP header.
    const SOURCE_AT: usize;
    /// Where the destination address stands, counted from the start of the IP header.
    const DESTINATION_AT: usize;
    /// Where the header's own checksum stands; IPv6 has none (RFC 8200, section 8.1).
    const HEADER_CHECKSUM_AT: Option<usize>;
    /// Bytes of the header without options or extension headers.
    const HEADER_LENGTH: usize;

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

impl Family for V4 {
    type Address = [u8; 4];
    const ETHERTYPE: u16 = 0x0800;
    const SOURCE_AT: usize = 12;
    const DESTINATION_AT: usize = 16;
    const HEADER_CHECKSUM_AT: Option<usize> = Some(10);
    const HEADER_LENGTH: usize = 20;

    #[inline(always)]
    fn widen([a, b, c, d]: [u8; 4]) -> WideAddress {
        [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    #[inline(always)]
    fn narrow([a, b, c, d, ..]: WideAddress) -> [u8; 4] {
        [a, b, c, d]
    }
}

impl Family for V6 {
    type Address = [u8; 16];
    const ETHERTYPE: u16 = 0x86dd;
    const SOURCE_AT: usize = 8;
    const DESTINATION_AT: usize = 24;
    const HEADER_CHECKSUM_AT: Option<usize> = None;
    const HEADER_LENGTH: usize = 40;

    #[inline(always)]
    fn widen(address: [u8; 16]) -> WideAddress {
        address
    }

    #[inline(always)]
    fn narrow(wide: WideAddress) -> [u8; 16] {
        wide
    }
}
