// SPDX-License-Identifier: MIT OR Apache-2.0
//! The five values that name a flow in one direction.

use crate::family::Family;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

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
    /// Sets all but the addresses.
    #[inline(always)]
    pub fn set_ports(&mut self, source: [u8; 2], destination: [u8; 2], protocol: u8)
    where
        Self: IntoBytes + FromBytes,
    {
        if let Some(behind_addresses) = self.as_mut_bytes().last_chunk_mut() {
            let rest = [protocol, 0, 0, 0];
            let [[s0, s1], [d0, d1]] = [source, destination];
            put(behind_addresses, transmute!([[s0, s1, d0, d1], rest]));
        }
    }

    /// Both ports as they stand at the start of every transport header that has ports.
    #[inline(always)]
    pub fn ports(&self) -> [u8; 4]
    where
        Self: IntoBytes + Immutable,
    {
        let behind_addresses = self.as_bytes().last_chunk::<8>();
        let [ports, _]: [[u8; 4]; 2] = behind_addresses.map_or_default(|bytes| transmute!(*bytes));
        ports
    }
}

/// Writes eight bytes of a key in one go: a processor that reads a key in larger pieces than it was
/// just written in has to wait until all of it has left for the cache, which takes longer than all
/// the writes. The compiler writes what it has taken apart byte by byte, so it is made a word here.
#[inline(always)]
pub(crate) fn put(place: &mut [u8; 8], bytes: [u8; 8]) {
    let word = u64::from_ne_bytes(bytes);
    // Where a key begins at a whole word, as all of a frame's do, the compiler sees that it does.
    match u64::mut_from_bytes(place) {
        Ok(place) => *place = word,
        Err(_misaligned) => *place = bytes,
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
