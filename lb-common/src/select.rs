// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which backend takes a new flow: a slot of the Service's Maglev table, by hash.

use crate::family::Family;
use crate::frame::Frame;
use crate::hash::hash;
use crate::service::Destination;
use crate::tables::Tables;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// First word of what is hashed here, so that no other use of the seed hashes the same.
const PURPOSE: u64 = u64::from_le_bytes(*b"flow\0\0\0\0");

/// What chooses backend and port of a flow: alike on every node of the cluster, since the seed is,
/// and open to nobody outside. Each part is taken from other bits of one hash.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, KnownLayout)]
pub struct Mark {
    /// The first slot, beyond the table's size.
    pub slot: u32,
    /// From one slot to the next: odd, so that a table whose size is a power of two is visited
    /// whole, and clients that share a slot part ways.
    pub slot_stride: u32,
    /// The first port, beyond the range's size.
    pub port: u16,
    /// From one port to the next, odd likewise.
    pub port_stride: u16,
}

/// Fills in the mark of the packet's tuple.
///
/// Out of line: the hash keeps many registers busy.
#[inline(never)]
pub fn mark<F: Family>(seed: [u64; 2], frame: &mut Frame<F::Address>) {
    let words = F::words(PURPOSE, frame.datagram.tuple);
    let bytes = hash(seed, words.as_ref()).to_le_bytes();
    let [s0, s1, s2, s3, p0, p1, q0, q1] = bytes;
    frame.mark = Mark {
        slot: u32::from_le_bytes([s0, s1, s2, s3]),
        slot_stride: u32::from_le_bytes([p0, p1, q0, q1]) | 1,
        port: u16::from_le_bytes([p0, p1]),
        port_stride: u16::from_le_bytes([q0, q1]) | 1,
    };
}

/// The backend's id of the `attempt`th choice for a mark. Not every choice differs from the one
/// before.
///
/// A slot names terminating and not ready backends only where nothing better is left, so whatever
/// it names may be used.
#[inline(always)]
pub fn choose<F: Family, T: Tables<F>>(
    tables: &T,
    destination: &Destination,
    mark: &Mark,
    attempt: u32,
) -> Option<u32> {
    let choice = mark
        .slot
        .wrapping_add(mark.slot_stride.wrapping_mul(attempt));
    // `slot_count` is a power of two and not zero.
    let slot = choice & destination.slot_count.wrapping_sub(1);
    tables.slot(destination.first_chunk, slot)
}
