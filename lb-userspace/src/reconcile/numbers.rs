// SPDX-License-Identifier: MIT OR Apache-2.0
//! Versions and epochs: numbers that this node gives out once, crashes included.

use crate::maps::{Store, StoreError};

/// Numbers that one write of the counter covers.
const BLOCK: u64 = 1_024;

/// Gives out numbers. The counter in the store is written ahead of them, in blocks, so that a
/// restart goes on above all that were given out, and a number costs no write.
#[derive(Debug)]
pub(super) struct Numbers {
    last: u64,
    covered: u64,
}

impl Numbers {
    /// Goes on above the counter, and above every number seen in the maps.
    pub(super) fn after(counter: u64, seen: u64) -> Self {
        Self {
            last: counter.max(seen),
            covered: 0,
        }
    }

    /// A number that was never given out; never 0.
    pub(super) fn next(&mut self, store: &mut impl Store) -> Result<u64, StoreError> {
        let next = self.last.saturating_add(1);
        if next > self.covered {
            let covered = self.last.saturating_add(BLOCK);
            store.put_counter(covered)?;
            self.covered = covered;
        }
        self.last = next;
        Ok(next)
    }
}
