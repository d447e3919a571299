// SPDX-License-Identifier: MIT OR Apache-2.0
//! `NODES_*`: addresses of one family that nodes of the cluster have.

use super::{OpenError, READING, REMOVING, WRITING, absent_is_fine, open, refused};
use crate::maps::{StoreError, pod::Wire};
use aya::maps::{HashMap, MapData};
use lb_common::family::Family;
use std::{collections::BTreeSet, path::Path};

/// The map.
pub(super) struct Nodes<F: Family>(HashMap<MapData, Wire<F::Address>, u32>);

impl<F: Family> Nodes<F> {
    pub(super) fn open(maps: &Path, name: &str) -> Result<Self, OpenError> {
        Ok(Self(open(maps, name)?))
    }

    /// Makes these the ones that are there. Those that stay are there all the time.
    pub(super) fn put(&mut self, wanted: &BTreeSet<F::Address>) -> Result<(), StoreError> {
        let keys = self.0.keys().map(|key| key.map(|Wire(address)| address));
        let known: Result<BTreeSet<_>, _> = keys.collect();
        let known = known.map_err(refused(MAP, READING))?;
        for address in known.difference(wanted) {
            let removed = self.0.remove(&Wire(*address));
            absent_is_fine(removed).map_err(refused(MAP, REMOVING))?;
        }
        for address in wanted.difference(&known) {
            let written = self.0.insert(&Wire(*address), &1, 0);
            written.map_err(refused(MAP, WRITING))?;
        }
        Ok(())
    }
}

const MAP: &str = "nodes";
