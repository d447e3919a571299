// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each name in memory once: a hundred thousand endpoints are on some hundred nodes.

use std::{collections::BTreeSet, sync::Arc};

/// Names that objects share.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    known: BTreeSet<Arc<str>>,
    /// How many were in use when that was last looked at.
    used: usize,
}

/// Below this, nobody looks for names that are out of use.
const FEW: usize = 1_024;

impl Names {
    /// Puts the one that is known in a name's place.
    pub(super) fn share(&mut self, name: &mut Arc<str>) {
        if let Some(known) = self.known.get(&**name) {
            *name = known.clone();
            return;
        }
        if self.known.len() >= self.used.saturating_mul(2).max(FEW) {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.used = self.known.len();
        }
        self.known.insert(name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, Names};
    use std::sync::Arc;

    #[test]
    fn a_name_is_there_once_and_goes_with_its_last_user() {
        let mut names = Names::default();
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
