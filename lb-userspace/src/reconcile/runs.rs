// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which chunks of `SLOTS` are in use: a buddy allocator. Knows not what for.

use std::collections::{BTreeMap, BTreeSet};

/// Chunks in a row. Their number is a power of two, and `first` a multiple of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    /// Index of the first.
    pub(super) first: u32,
    /// How many.
    pub(super) chunks: u32,
}

/// Runs below a capacity.
#[derive(Debug)]
pub(super) struct Runs {
    capacity: u32,
    /// First chunks of free runs, by size.
    free: BTreeMap<u32, BTreeSet<u32>>,
    /// How many runs of each size are in use.
    used: BTreeMap<u32, u32>,
}

impl Runs {
    pub(super) fn new(capacity: u32) -> Self {
        let mut runs = Self {
            capacity,
            free: BTreeMap::new(),
            used: BTreeMap::new(),
        };
        let mut first = 0;
        while first < capacity {
            let fits = 1 << (capacity - first).ilog2();
            let aligned = if first == 0 { fits } else { lowest_bit(first) };
            let chunks = aligned.min(fits);
            runs.free.entry(chunks).or_default().insert(first);
            first = first.saturating_add(chunks);
        }
        runs
    }

    /// Takes a run of `chunks`, a power of two.
    pub(super) fn take(&mut self, chunks: u32) -> Option<Run> {
        let larger = self.free.range(chunks..);
        let (&size, firsts) = larger.into_iter().find(|(_, firsts)| !firsts.is_empty())?;
        let first = *firsts.first()?;
        let run = Run { first, chunks };
        self.carve(
            Run {
                first,
                chunks: size,
            },
            run,
        );
        Some(run)
    }

    /// Takes a run for something new: only if afterwards the largest run in use still fits once
    /// more, so that no table finds itself without room for its successor.
    pub(super) fn take_leaving_room(&mut self, chunks: u32) -> Option<Run> {
        let run = self.take(chunks)?;
        let largest = self
            .used
            .last_key_value()
            .map_or(0, |(&largest, _)| largest);
        let mut rest = self.free.range(largest..);
        if rest.any(|(_, firsts)| !firsts.is_empty()) {
            return Some(run);
        }
        self.give_back(run);
        None
    }

    /// Takes a certain run; false if part of it is in use, or it is none.
    pub(super) fn reserve(&mut self, run: Run) -> bool {
        if !run.chunks.is_power_of_two() || !run.first.is_multiple_of(run.chunks) {
            return false;
        }
        let mut chunks = run.chunks;
        loop {
            let first = run.first & !chunks.wrapping_sub(1);
            if self.is_free(Run { first, chunks }) {
                self.carve(Run { first, chunks }, run);
                return true;
            }
            match chunks.checked_mul(2) {
                Some(twice) if twice <= self.capacity => chunks = twice,
                _ => return false,
            }
        }
    }

    /// Frees a run that was taken.
    pub(super) fn give_back(&mut self, run: Run) {
        match self.used.get_mut(&run.chunks) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => {
                self.used.remove(&run.chunks);
            }
        }
        let Run {
            mut first,
            mut chunks,
        } = run;
        loop {
            let buddy = first ^ chunks;
            let buddies = self.free.get_mut(&chunks);
            if !buddies.is_some_and(|firsts| firsts.remove(&buddy)) {
                break;
            }
            first = first.min(buddy);
            chunks = chunks.saturating_mul(2);
        }
        self.free.entry(chunks).or_default().insert(first);
    }

    /// How many chunks are free, in runs of any size.
    pub(super) fn free(&self) -> u32 {
        let sizes = self.free.iter();
        sizes.fold(0, |sum, (&size, firsts)| {
            let count = u32::try_from(firsts.len()).unwrap_or(u32::MAX);
            sum.saturating_add(size.saturating_mul(count))
        })
    }

    fn is_free(&self, run: Run) -> bool {
        let firsts = self.free.get(&run.chunks);
        firsts.is_some_and(|firsts| firsts.contains(&run.first))
    }

    /// Takes `part` out of the free run `whole`; what is left of it stays free.
    fn carve(&mut self, mut whole: Run, part: Run) {
        if let Some(firsts) = self.free.get_mut(&whole.chunks) {
            firsts.remove(&whole.first);
        }
        while whole.chunks > part.chunks {
            let half = whole.chunks / 2;
            let upper = whole.first.saturating_add(half);
            let (kept, freed) = if part.first < upper {
                (whole.first, upper)
            } else {
                (upper, whole.first)
            };
            self.free.entry(half).or_default().insert(freed);
            whole = Run {
                first: kept,
                chunks: half,
            };
        }
        let count = self.used.entry(part.chunks).or_default();
        *count = count.saturating_add(1);
    }
}

fn lowest_bit(number: u32) -> u32 {
    1 << number.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::{Run, Runs};

    /// Chunks of a run, one by one.
    fn chunks(run: Run) -> BTreeSet<u32> {
        (run.first..run.first + run.chunks).collect()
    }

    fn free(runs: &Runs) -> BTreeSet<Run> {
        let runs = runs
            .free
            .iter()
            .flat_map(|(&chunks, firsts)| firsts.iter().map(move |&first| Run { first, chunks }));
        runs.collect()
    }

    proptest! {
        #[test]
        fn runs_never_overlap_and_all_come_back(
            capacity in 1_u32..200,
            steps in vec((any::<bool>(), 0_u32..6, any::<Index>()), 1..120),
        ) {
            let mut runs = Runs::new(capacity);
            let mut taken: Vec<Run> = Vec::new();
            for (take, order, index) in steps {
                if take {
                    if let Some(run) = runs.take(1 << order) {
                        prop_assert!(run.first.is_multiple_of(run.chunks));
                        prop_assert!(run.first + run.chunks <= capacity);
                        taken.push(run);
                    }
                } else if !taken.is_empty() {
                    runs.give_back(taken.swap_remove(index.index(taken.len())));
                }
                let used: Vec<u32> = taken.iter().copied().flat_map(chunks).collect();
                prop_assert_eq!(used.iter().collect::<BTreeSet<_>>().len(), used.len());
                let count = u32::try_from(used.len()).unwrap();
                prop_assert_eq!(runs.free() + count, capacity);
            }
            // Restoring the same runs in another pool leaves the same room.
            let mut restored = Runs::new(capacity);
            for run in &taken {
                prop_assert!(restored.reserve(*run));
                prop_assert!(!restored.reserve(*run));
            }
            prop_assert_eq!(free(&restored), free(&runs));
            for run in taken.drain(..) {
                runs.give_back(run);
            }
            prop_assert_eq!(free(&runs), free(&Runs::new(capacity)));
        }
    }

    #[test]
    fn something_new_leaves_room_for_the_largest() {
        let mut runs = Runs::new(16);
        assert!(runs.take_leaving_room(4).is_some());
        assert!(runs.take_leaving_room(4).is_some());
        assert!(runs.take_leaving_room(4).is_some());
        assert_eq!(runs.take_leaving_room(1), None, "the last four stay");
        assert!(runs.take(4).is_some(), "for a successor");
    }
}
