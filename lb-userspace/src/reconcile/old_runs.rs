// SPDX-License-Identifier: MIT OR Apache-2.0
//! What slots of the previous agent's lead to, until they are gone or known to be what we would
//! build: nothing that they lead to may sink or go.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use lb_common::wire::{Chunk, Slot};
use zerocopy::IntoBytes as _;

use super::runs::Run;

/// Slots whose meaning we do not know, and the backends that they lead to. Such a backend stays as
/// it is, whatever its own table needs.
#[derive(Debug, Default)]
pub(super) struct OldRuns {
    runs: BTreeMap<Run, OldRun>,
    /// In how many runs an id is.
    uses: BTreeMap<u32, u32>,
}

#[derive(Debug)]
struct OldRun {
    ids: Box<[u32]>,
    /// Hash of the contents, so that they need not be kept or read twice.
    print: u64,
}

impl OldRuns {
    pub(super) fn insert(&mut self, run: Run, chunks: &[Chunk]) {
        let slots = chunks.iter().flat_map(|chunk| chunk.backends);
        let ids: BTreeSet<u32> = slots.map(Slot::id).collect();
        for id in &ids {
            let uses = self.uses.entry(*id).or_default();
            *uses = uses.saturating_add(1);
        }
        let (ids, print) = (ids.into_iter().collect(), print(chunks));
        self.runs.insert(run, OldRun { ids, print });
    }

    /// The run is gone, or its contents are known.
    pub(super) fn remove(&mut self, run: Run) {
        let ids = self.runs.remove(&run).map(|old| old.ids);
        for id in ids.into_iter().flatten() {
            if let Entry::Occupied(mut uses) = self.uses.entry(id) {
                *uses.get_mut() = uses.get().saturating_sub(1);
                if *uses.get() == 0 {
                    uses.remove();
                }
            }
        }
    }

    /// Whether the run holds just these slots.
    pub(super) fn is(&self, run: Run, chunks: &[Chunk]) -> bool {
        let old = self.runs.get(&run);
        old.is_some_and(|old| old.print == print(chunks))
    }

    /// Whether the run leads to a backend.
    pub(super) fn leads(&self, run: Run, id: u32) -> bool {
        let old = self.runs.get(&run);
        old.is_some_and(|old| old.ids.binary_search(&id).is_ok())
    }

    /// Whether any run leads to a backend.
    pub(super) fn use_backend(&self, id: u32) -> bool {
        self.uses.contains_key(&id)
    }
}

fn print(chunks: &[Chunk]) -> u64 {
    let mut hasher = DefaultHasher::new();
    chunks.as_bytes().hash(&mut hasher);
    hasher.finish()
}
