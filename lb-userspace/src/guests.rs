// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many connections a server has at once, of all clients and of each address: nobody keeps the
//! others out.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The connections of a server.
#[derive(Clone, Debug)]
pub(crate) struct Guests {
    limit: usize,
    limit_each: usize,
    counts: Arc<Mutex<Counts>>,
}

/// How many there are.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// A connection that is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Guest {
    guests: Guests,
    address: IpAddr,
}

impl Guests {
    /// So many at once, and so many from one address.
    pub(crate) fn new(limit: usize, limit_each: usize) -> Self {
        Self {
            limit,
            limit_each,
            counts: Arc::default(),
        }
    }

    /// Counts a connection, if there is room for it.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Guest> {
        let mut counts = self.counts();
        let from_there = counts.by_address.get(&address).copied().unwrap_or(0);
        if counts.all >= self.limit || from_there >= self.limit_each {
            return None;
        }
        counts.all = counts.all.saturating_add(1);
        let more = from_there.saturating_add(1);
        counts.by_address.insert(address, more);
        drop(counts);
        Some(Guest {
            guests: self.clone(),
            address,
        })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.guests.counts();
        counts.all = counts.all.saturating_sub(1);
        let count = counts.by_address.get(&self.address).copied().unwrap_or(0);
        match count.saturating_sub(1) {
            0 => counts.by_address.remove(&self.address),
            left => counts.by_address.insert(self.address, left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Guests;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn nobody_has_more_than_a_share_and_all_together_no_more_than_there_is() {
        let guests = Guests::new(3, 2);
        let [one, other] = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
        let first = guests.admit(one).expect("room");
        let _second = guests.admit(one).expect("room");
        assert!(guests.admit(one).is_none(), "its share");
        let _third = guests.admit(other).expect("room for others");
        assert!(guests.admit(other).is_none(), "all there is");
        drop(first);
        assert!(guests.admit(other).is_some(), "somebody has left");
    }
}
