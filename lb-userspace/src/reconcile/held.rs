// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ids that a table's backends have.

use lb_common::wire::BackendState;

use crate::plan::BackendKey;

/// An id that is given out to a backend.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// Whose it is.
    pub(super) backend: BackendKey,
    pub(super) id: u32,
    /// 0 = not written yet.
    pub(super) epoch: u64,
    /// The Service's number that is written with it.
    pub(super) service_id: u32,
    /// The state in the map; none: not written yet.
    pub(super) written: Option<BackendState>,
    /// The state that the table needs it in; none: it may go.
    pub(super) needed: Option<BackendState>,
    /// When it may go; [`Held::STAYS`]: not at all.
    pub(super) due_ns: u64,
}

impl Held {
    /// A time that never comes.
    pub(super) const STAYS: u64 = u64::MAX;

    pub(super) fn new(backend: BackendKey, id: u32) -> Self {
        Self {
            backend,
            id,
            epoch: 0,
            service_id: 0,
            written: None,
            needed: None,
            due_ns: Self::STAYS,
        }
    }
}

/// Those of one table, in the order of their backends. One piece of memory that is hardly larger
/// than what is in it: there are a hundred thousand backends, and ten in most tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Holdings(Vec<Held>);

impl Holdings {
    pub(super) fn get(&self, backend: &BackendKey) -> Option<&Held> {
        self.0.get(self.place(backend).ok()?)
    }

    pub(super) fn get_mut(&mut self, backend: &BackendKey) -> Option<&mut Held> {
        let place = self.place(backend).ok()?;
        self.0.get_mut(place)
    }

    pub(super) fn has(&self, backend: &BackendKey) -> bool {
        self.place(backend).is_ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As many more are about to come.
    pub(super) fn reserve(&mut self, more: usize) {
        self.0.reserve_exact(more);
    }

    /// Adds one, unless its backend has an id.
    pub(super) fn add(&mut self, held: Held) {
        if let Err(place) = self.place(&held.backend) {
            if self.0.len() == self.0.capacity() {
                // A little more than is needed, so that many are not moved for each that comes.
                self.0.reserve_exact(1 + self.0.len() / 16);
            }
            self.0.insert(place, held);
        }
    }

    pub(super) fn remove(&mut self, backend: &BackendKey) {
        if let Ok(place) = self.place(backend) {
            self.0.remove(place);
            self.shrink();
        }
    }

    /// Takes those that are not written yet.
    pub(super) fn take_unwritten(&mut self) -> Vec<Held> {
        let unwritten = self.0.extract_if(.., |held| held.written.is_none());
        let unwritten = unwritten.collect();
        self.shrink();
        unwritten
    }

    fn shrink(&mut self) {
        if self.0.len() < self.0.capacity() / 2 {
            self.0.shrink_to_fit();
        }
    }

    fn place(&self, backend: &BackendKey) -> Result<usize, usize> {
        self.0.binary_search_by(|held| held.backend.cmp(backend))
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, Holdings};
    use crate::plan::BackendKey;
    use lb_common::wire::BackendState;
    use std::net::IpAddr;

    #[test]
    fn each_backend_has_one_id_and_all_are_in_order() {
        let key = |last: u8| BackendKey {
            address: IpAddr::from([10, 0, 0, last]),
            port: 80,
            protocol: 6,
        };
        let ids = |held: &Holdings| held.iter().map(|held| held.id).collect::<Vec<_>>();
        let mut holdings = Holdings::default();
        for (last, id) in [(3, 30), (1, 10), (2, 20), (3, 31)] {
            holdings.add(Held::new(key(last), id));
        }
        assert_eq!(ids(&holdings), [10, 20, 30]);
        assert!(holdings.has(&key(2)) && !holdings.has(&key(4)));
        holdings.get_mut(&key(2)).expect("it is there").written = Some(BackendState::Active);
        holdings.remove(&key(1));
        holdings.remove(&key(9));
        assert_eq!(ids(&holdings), [20, 30]);
        let taken = holdings.take_unwritten();
        assert_eq!(taken.iter().map(|held| held.id).collect::<Vec<_>>(), [30]);
        assert_eq!(holdings.get(&key(2)).map(|held| held.id), Some(20));
        holdings.remove(&key(2));
        assert!(holdings.is_empty());
    }
}
