// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each value in memory once: a hundred thousand endpoints are on some hundred nodes.

use std::{collections::BTreeSet, sync::Arc};

/// Values that objects share.
#[derive(Debug)]
pub(super) struct Shared<T: ?Sized> {
    known: BTreeSet<Arc<T>>,
    /// How many were in use when that was last looked at.
    used: usize,
}

/// Below this, nobody looks for values that are out of use.
const FEW: usize = 1_024;

// Derived, it would ask `T` to be cloned.
impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self {
            known: self.known.clone(),
            used: self.used,
        }
    }
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self {
            known: BTreeSet::new(),
            used: 0,
        }
    }
}

impl<T: Ord + ?Sized> Shared<T> {
    /// Puts the one that is known in a value's place.
    pub(super) fn share(&mut self, value: &mut Arc<T>) {
        if let Some(known) = self.known.get(&**value) {
            *value = known.clone();
            return;
        }
        if self.known.len() >= self.used.saturating_mul(2).max(FEW) {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.used = self.known.len();
        }
        self.known.insert(value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, Shared};
    use std::sync::Arc;

    #[test]
    fn a_value_is_there_once_and_goes_with_its_last_user() {
        let mut names = Shared::<str>::default();
        let [mut one, mut other] = [Arc::from("node-a"), Arc::from("node-a")];
        names.share(&mut one);
        names.share(&mut other);
        assert!(Arc::ptr_eq(&one, &other));
        for number in 0..10 * FEW {
            names.share(&mut format!("node-{number}").into());
            assert!(names.known.len() <= FEW, "nobody uses them");
        }
        let mut again = Arc::from("node-a");
        names.share(&mut again);
        assert!(Arc::ptr_eq(&one, &again), "it was in use");
    }
}
