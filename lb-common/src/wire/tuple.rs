// SPDX-License-Identifier: MIT OR Apache-2.0
//! The five values that name a flow in one direction.

use crate::family::Family;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Addresses, ports and protocol of one packet: the key of flows in both directions.
///
/// In `FLOWS` it is the packet as the client sends it (destination = the Service's address); in
/// `REVERSE` the packet as the backend sends it (source = backend). 16 bytes for IPv4, 40 for IPv6.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
pub struct Tuple<A> {
    /// Source address, network order.
    pub source: A,
    /// Destination address, network order.
    pub destination: A,
    /// Source port, network order.
    pub source_port: [u8; 2],
    /// Destination port, network order.
    pub destination_port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// Always zero: the key is hashed with it.
    pub pad: [u8; 3],
}

impl<A> Tuple<A> {
    /// Sets all but the addresses: in one write, since a key that is read in larger pieces than it
    /// was written in costs a processor more than the writes do.
    #[inline(always)]
    pub fn set_ports(&mut self, [s0, s1]: [u8; 2], [d0, d1]: [u8; 2], protocol: u8)
    where
        Self: IntoBytes + FromBytes,
    {
        if let Some(behind_addresses) = self.as_mut_bytes().last_chunk_mut() {
            *behind_addresses = [s0, s1, d0, d1, protocol, 0, 0, 0];
        }
    }
}

impl<A: Copy> Tuple<A> {
    /// The tuple of what answers this packet.
    #[inline(always)]
    #[must_use]
    pub fn turned(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
            pad: self.pad,
        }
    }
}

const _: () = assert!(size_of::<Tuple<<crate::family::V4 as Family>::Address>>() == 16);
const _: () = assert!(size_of::<Tuple<<crate::family::V6 as Family>::Address>>() == 40);
