// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the nodes of the cluster are: who may send tunnels to this one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// The addresses of all nodes.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    known: BTreeMap<Arc<str>, Box<[IpAddr]>>,
    revision: u64,
}

impl Nodes {
    /// Another number after each change. Nodes tell of themselves all the time, and hardly ever
    /// something that is new here.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// All addresses.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.known.values().flatten().copied().collect()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = Arc<str>> {
        self.known.keys().cloned()
    }

    pub(super) fn put(&mut self, name: &Arc<str>, addresses: &[IpAddr]) {
        if self
            .known
            .get(name)
            .is_some_and(|known| **known == *addresses)
        {
            return;
        }
        self.known.insert(name.clone(), addresses.into());
        self.revision = self.revision.wrapping_add(1);
    }

    pub(super) fn remove(&mut self, name: &Arc<str>) {
        if self.known.remove(name).is_some() {
            self.revision = self.revision.wrapping_add(1);
        }
    }
}
