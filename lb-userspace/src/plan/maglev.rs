// SPDX-License-Identifier: MIT OR Apache-2.0
//! Slot tables: Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4) over a power of two.
//!
//! The same backends, seed and size give the same table on every node and at any time. Backends
//! take turns in claiming the next free slot of their own walk, so shares differ by one slot at
//! most, and a backend that leaves moves few slots of the others: a flow whose node is replaced
//! finds its backend again.

use std::net::IpAddr;

use lb_common::{hash::hash, wire::CHUNK_SLOTS};

use super::BackendKey;

/// Slots that one table has at most: 1,024 chunks, 512 KiB. One Service cannot take all chunks.
///
/// Above 1,310 backends a backend so has fewer than [`SLOTS_PER_BACKEND`] slots, and shares differ
/// by more than 1 %: by 4 % at 5,000 backends. Above 131,072 some backends get no new flows.
pub const MAX_SLOTS: u32 = 1 << 17;

/// Slots per backend that keep shares within 1 %: they differ by one slot.
pub const SLOTS_PER_BACKEND: usize = 100;

/// What tells this use of the seed from the hashing of flows.
const WALK: u64 = u64::from_le_bytes(*b"walk    ");

const FREE: u32 = u32::MAX;

/// The size of a table for so many backends: a power of two, whole chunks; 0 for none.
pub fn slot_count(backends: usize) -> u32 {
    if backends == 0 {
        return 0;
    }
    let wanted = backends.saturating_mul(SLOTS_PER_BACKEND);
    let wanted = u32::try_from(wanted).unwrap_or(MAX_SLOTS).min(MAX_SLOTS);
    wanted.max(CHUNK_SLOTS).next_power_of_two()
}

/// For each slot the position of its backend in `backends`, which are sorted and distinct.
///
/// `slot_count` is a power of two. Without backends the table is empty.
pub fn table(seed: [u64; 2], backends: &[BackendKey], slot_count: u32) -> Vec<u32> {
    if backends.is_empty() {
        return Vec::new();
    }
    let mut table = vec![FREE; index(slot_count)];
    let slots = Slots::of(slot_count);
    let mut walks: Vec<_> = backends
        .iter()
        .map(|backend| Walk::of(seed, backend))
        .collect();
    let mut left = table.len();
    while left > 0 {
        for (backend, walk) in (0_u32..).zip(walks.iter_mut()).take(left) {
            walk.claim(&mut table, slots, backend);
        }
        left = left.saturating_sub(walks.len());
    }
    table
}

/// The order in which a backend looks for free slots: a permutation of them, computed step by step.
///
/// The paper's walk, a start and a stride, does badly over a power of two: strides that are small
/// multiples of each other make one backend follow in another's steps. With 3 backends, one that
/// left moved up to 53 % of the others' slots (1,000 seeds, 512 slots), with this walk 4 %.
struct Walk {
    /// The steps so far, times the first factor.
    at: u32,
    start: u32,
    /// Odd, so that multiplying by them permutes a power of two; as does `x ^= x >> n`.
    factors: [u32; 3],
}

impl Walk {
    fn of(seed: [u64; 2], backend: &BackendKey) -> Self {
        let (family, address) = match backend.address {
            IpAddr::V4(address) => (4_u64, u128::from(u32::from(address))),
            IpAddr::V6(address) => (6_u64, u128::from(address)),
        };
        let service = family << 32 | u64::from(backend.port) << 8 | u64::from(backend.protocol);
        let words = |number| {
            [
                WALK,
                number,
                low_half(address >> 64),
                low_half(address),
                service,
            ]
        };
        let first = u128::from(hash(seed, &words(0)));
        let second = u128::from(hash(seed, &words(1)));
        let start = quarter(first);
        let factors = [first >> 32, second, second >> 32].map(|wide| quarter(wide) | 1);
        Self {
            at: start.wrapping_mul(factors[0]),
            start,
            factors,
        }
    }

    fn claim(&mut self, table: &mut [u32], slots: Slots, backend: u32) {
        loop {
            let slot = index(self.next(slots));
            if let Some(slot) = table.get_mut(slot)
                && *slot == FREE
            {
                *slot = backend;
                return;
            }
        }
    }

    fn next(&mut self, Slots { mask, half }: Slots) -> u32 {
        let [first, second, third] = self.factors;
        let mut slot = self.at & mask;
        slot ^= slot >> half;
        slot = slot.wrapping_mul(second) & mask;
        slot ^= slot >> half;
        self.at = self.at.wrapping_add(first);
        slot.wrapping_mul(third).wrapping_add(self.start >> 16) & mask
    }
}

/// What a walk knows of the table that it goes through.
#[derive(Clone, Copy)]
struct Slots {
    mask: u32,
    /// Half of the bits of a slot's number.
    half: u32,
}

impl Slots {
    fn of(count: u32) -> Self {
        let mask = count.wrapping_sub(1);
        Self {
            mask,
            half: mask.count_ones() / 2,
        }
    }
}

fn low_half(wide: u128) -> u64 {
    u64::try_from(wide & u128::from(u64::MAX)).unwrap_or(0)
}

fn quarter(wide: u128) -> u32 {
    u32::try_from(wide & u128::from(u32::MAX)).unwrap_or(0)
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}
