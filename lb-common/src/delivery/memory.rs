// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a processor remembers of the routing table's answers.

use crate::family::Own;
use crate::tables::Environment;
use crate::wire::{PASSAGES, Passage, Tuple, fingerprint};

/// What is remembered in a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// What is asked.
    Same,
    /// Something else.
    Other,
    /// Nothing that is young enough.
    Nothing,
}

/// Looks whether what is asked was answered just now; then `passage` is what was found then.
#[inline(always)]
pub(crate) fn recall<T: Environment>(
    tables: &T,
    place: u32,
    passage: &mut Passage,
    now_ns: u64,
) -> Memory {
    let known = tables.passage(place);
    let Some(known) = known.filter(|known| now_ns < known.until_ns) else {
        return Memory::Nothing;
    };
    if !known.asked.is_like(&passage.asked) {
        return Memory::Other;
    }
    // A longer packet than has been asked for fits as well, up to what the answer says.
    if passage.asked.length > known.answered.length {
        return Memory::Other;
    }
    passage.answered.set(&known.answered);
    passage.way = known.way;
    Memory::Same
}

/// Where the way between two addresses is remembered. The uppermost bits depend on all of both;
/// the lower ones would not tell the pods of a network apart.
#[inline(always)]
pub(crate) fn place<F: Own>(tuple: &Tuple<F::Address>, [c0, c1, ..]: [u8; 4]) -> u32 {
    let [.., b4, b5, b6, b7] = fingerprint(&[tuple.source, tuple.destination]).to_le_bytes();
    let pair = u32::from_le_bytes([b4, b5, b6, b7]) >> (u32::BITS - PASSAGES.ilog2());
    let kind = u32::from_le_bytes([tuple.protocol ^ c1, c0, 0, 0]);
    (pair ^ kind) & (PASSAGES - 1)
}
