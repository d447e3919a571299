// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a list names: the rest is gone when it ends.

use std::collections::BTreeSet;

/// One kind's list: what a running one has not named yet, and whether one was ever complete.
#[derive(Clone, Debug)]
pub(super) struct List<K> {
    /// One has been.
    pub(super) complete: bool,
    unnamed: BTreeSet<K>,
}

impl<K> Default for List<K> {
    fn default() -> Self {
        Self {
            complete: false,
            unnamed: BTreeSet::new(),
        }
    }
}

impl<K: Ord> List<K> {
    pub(super) fn begin(&mut self, known: impl IntoIterator<Item = K>) {
        self.unnamed = known.into_iter().collect();
    }

    pub(super) fn named(&mut self, key: &K) {
        self.unnamed.remove(key);
    }

    pub(super) fn end(&mut self) -> BTreeSet<K> {
        self.complete = true;
        std::mem::take(&mut self.unnamed)
    }
}
