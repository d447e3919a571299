// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ranges from which Services may be dialled.
//!
//! They are the Service's port's, by its number: let in before its frontends ask for them, and
//! barred when none of them does. Between two lists of ranges, both are let in for a moment, and
//! nobody else ever is.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::actual::Actual;
use crate::{
    maps::{Store, StoreError},
    plan::{Table, Tables},
};

impl Actual {
    /// Ranges that a table lets in and the map of its Service's number does not yet.
    pub(super) fn strangers(&self, service_id: u32, table: &Table) -> Vec<IpNet> {
        let wanted: BTreeSet<_> = table.ranges().collect();
        let is_new = |range: &IpNet| !self.admitted.contains(&(service_id, *range));
        wanted.into_iter().filter(is_new).collect()
    }

    /// Lets ranges in.
    pub(super) fn admit(
        &mut self,
        store: &mut impl Store,
        table: &Table,
        ranges: &[IpNet],
    ) -> Result<(), StoreError> {
        let Some(label) = self.labels.get(&table.label) else {
            return Ok(());
        };
        for range in ranges {
            store.admit(label.id, *range)?;
            self.admitted.insert((label.id, *range));
        }
        Ok(())
    }

    /// Bars from a Service's ports whom its tables do not let in.
    pub(super) fn bar(
        &mut self,
        store: &mut impl Store,
        tables: &Tables,
    ) -> Result<(), StoreError> {
        let wanted: BTreeSet<_> = tables
            .iter()
            .filter_map(|(_, table)| Some((self.labels.get(&table.label)?.id, table)))
            .flat_map(|(id, table)| table.ranges().map(move |range| (id, range)))
            .collect();
        let ids = tables.iter().map(|(_, table)| &table.label);
        let ids = ids.filter_map(|label| self.labels.get(label));
        let ids: BTreeSet<u32> = ids.map(|label| label.id).collect();
        for id in ids {
            self.bar_unless(store, id, |range| wanted.contains(&(id, range)))?;
        }
        Ok(())
    }

    /// Bars everybody from a number that no Service has any more.
    pub(super) fn bar_all(&mut self, store: &mut impl Store, id: u32) -> Result<(), StoreError> {
        self.bar_unless(store, id, |_| false)
    }

    /// Bars everybody from numbers that the previous agent left without a Service.
    pub(super) fn prune_ranges(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        let named: BTreeSet<u32> = self.labels.values().map(|label| label.id).collect();
        let ids: BTreeSet<u32> = self.admitted.iter().map(|(id, _)| *id).collect();
        for id in ids.difference(&named) {
            self.bar_all(store, *id)?;
        }
        Ok(())
    }

    fn bar_unless(
        &mut self,
        store: &mut impl Store,
        id: u32,
        is_wanted: impl Fn(IpNet) -> bool,
    ) -> Result<(), StoreError> {
        let from_there = self.admitted.range((id, FIRST)..);
        let its = from_there.take_while(|(of, _)| *of == id);
        let unwanted = its.filter(|(_, range)| !is_wanted(*range)).copied();
        for (id, range) in unwanted.collect::<Vec<_>>() {
            store.bar(id, range)?;
            self.admitted.remove(&(id, range));
        }
        Ok(())
    }
}

/// The least of all ranges.
const FIRST: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));
