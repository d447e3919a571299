// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gives a Service room in the maps before anything is written: ids, chunks, places of frontends.
//!
//! Where room is short, a Service that is new is refused as a whole, and one that is there already
//! gets as much as there is; both are reported. So nobody takes away what an older one has.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use lb_common::wire::CHUNK_SLOTS;

use super::{
    actual::{Actual, Label, Retiree, Slots},
    held::Held,
};
use crate::{
    maps::{Frontend, StoreError},
    plan::{BackendKey, Backends, IpFamily, Table, TableKey, Tables, maglev},
};

/// Tables that have room.
#[derive(Debug, Default)]
pub(super) struct Fitted {
    pub(super) tables: Tables,
    /// What something had to be left out for.
    pub(super) short: Option<StoreError>,
}

impl Actual {
    /// Room for all tables of a Service. On a refusal [`Actual::take_back`] what was given so far.
    pub(super) fn make_room(&mut self, wanted: &Tables, due_ns: u64) -> Result<Fitted, StoreError> {
        let mut frontends = wanted.iter().flat_map(|(_, table)| &table.frontends);
        let is_there = frontends.any(|frontend| self.frontends.contains_key(frontend));
        let mut room = Room {
            frontends: self.free_frontends(),
            addresses: BTreeSet::new(),
            tables: Vec::new(),
            short: None,
            is_there,
        };
        for (key, table) in wanted.iter() {
            let table = self.fit_frontends(table, &mut room)?;
            if table.frontends.is_empty() {
                continue;
            }
            let table = self.fit_backends(key, &table, &mut room)?;
            self.fit_label(&table)?;
            let table = self.fit_slots(key, &table, &mut room, due_ns)?;
            room.tables.push((key.clone(), table));
        }
        Ok(Fitted {
            tables: room.tables.into_iter().collect(),
            short: room.short,
        })
    }

    /// Takes back what an attempt was given and has not written.
    pub(super) fn take_back(&mut self, wanted: &Tables) {
        for (key, table) in wanted.iter() {
            if let Some(programmed) = self.tables.get_mut(key) {
                for slots in programmed.slots.extract_if(.., |slots| !slots.written) {
                    self.runs.give_back(slots.run);
                }
                for held in programmed.backends.take_unwritten() {
                    self.backend_ids.give_back(held.id);
                }
                if programmed.is_empty() {
                    self.tables.remove(key);
                }
            }
            if let Some(label) = self.labels.get(&table.label)
                && !label.written
            {
                self.service_ids.give_back(label.id);
                self.labels.remove(&table.label);
            }
        }
    }

    fn free_frontends(&self) -> BTreeMap<IpFamily, u32> {
        let free = |family| {
            let used = self.frontend_counts.get(&family).copied().unwrap_or(0);
            (family, self.capacity.frontends.saturating_sub(used))
        };
        [IpFamily::V4, IpFamily::V6].map(free).into()
    }

    fn fit_frontends(&self, table: &Arc<Table>, room: &mut Room) -> Result<Arc<Table>, StoreError> {
        let mut left_out = Vec::new();
        for frontend in &table.frontends {
            let has_no_entry = table.is_of_node(*frontend) || !frontend.is_dialled();
            let is_known = has_no_entry || self.addresses.contains(&frontend.address);
            if !self.frontends.contains_key(frontend) && !room.take_frontend(*frontend, is_known) {
                left_out.push(*frontend);
            }
        }
        if left_out.is_empty() {
            return Ok(table.clone());
        }
        room.lack("frontends", self.capacity.frontends)?;
        let frontends = table.frontends.iter().copied();
        let kept = frontends.filter(|frontend| !left_out.contains(frontend));
        Ok(Arc::new(Table {
            frontends: kept.collect(),
            ..Table::clone(table)
        }))
    }

    fn fit_backends(
        &mut self,
        key: &TableKey,
        table: &Arc<Table>,
        room: &mut Room,
    ) -> Result<Arc<Table>, StoreError> {
        let programmed = self.tables.entry(key.clone()).or_default();
        let backends = table.backends.iter().map(|(backend, _)| backend);
        let new = backends.filter(|backend| !programmed.backends.has(backend));
        let new: Vec<_> = new.collect();
        programmed.backends.reserve(new.len());
        let mut without_id = false;
        for backend in new {
            match self.backend_ids.take() {
                Some(id) => programmed.backends.add(Held::new(backend, id)),
                None => without_id = true,
            }
        }
        if !without_id {
            return Ok(table.clone());
        }
        room.lack("backends", self.capacity.backends)?;
        let has_id = |backend: &BackendKey| programmed.backends.has(backend);
        let backends = table.backends.iter().filter(|(backend, _)| has_id(backend));
        let backends: Backends = backends.collect();
        Ok(Arc::new(Table {
            slot_count: maglev::slot_count(backends.chosen().count()),
            backends,
            ..Table::clone(table)
        }))
    }

    fn fit_label(&mut self, table: &Table) -> Result<(), StoreError> {
        if self.labels.contains_key(&table.label) {
            return Ok(());
        }
        // There are as many ids as frontends, and every label has a frontend of its own.
        let id = self.service_ids.take().ok_or(StoreError::Full {
            map: "frontends",
            capacity: self.capacity.frontends,
        })?;
        self.labels.insert(table.label.clone(), Label::new(id));
        Ok(())
    }

    /// A run beside the one that is in use; a smaller one where there is none of the wanted size.
    fn fit_slots(
        &mut self,
        key: &TableKey,
        table: &Arc<Table>,
        room: &mut Room,
        due_ns: u64,
    ) -> Result<Arc<Table>, StoreError> {
        self.drop_unused_slots(key, table, due_ns);
        if table.slot_count == 0 {
            return Ok(table.clone());
        }
        let mut table = table.clone();
        loop {
            let programmed = self.tables.entry(key.clone()).or_default();
            if programmed.current(&table).is_some() {
                return Ok(table);
            }
            let chunks = table.slot_count / CHUNK_SLOTS;
            let run = if room.is_there {
                self.runs.take(chunks)
            } else {
                self.runs.take_leaving_room(chunks)
            };
            if let Some(run) = run {
                programmed.add_slots(Slots {
                    run,
                    backends: table.backends.clone(),
                    written: false,
                });
                return Ok(table);
            }
            room.lack("slots", self.capacity.chunks)?;
            if chunks <= 1 {
                return Err(full("slots", self.capacity.chunks));
            }
            let mut smaller = Table::clone(&table);
            smaller.slot_count = table.slot_count / 2;
            table = Arc::new(smaller);
        }
    }

    /// Slots of an attempt that was overtaken: nothing leads to them, or never did.
    fn drop_unused_slots(&mut self, key: &TableKey, table: &Table, due_ns: u64) {
        let Some(programmed) = self.tables.get_mut(key) else {
            return;
        };
        let frontends = programmed.frontends.iter();
        let used: Vec<u32> = frontends
            .filter_map(|frontend| self.frontends.get(frontend))
            .filter(|pointed| pointed.value.slot_count > 0)
            .map(|pointed| pointed.value.first_chunk)
            .collect();
        let unused: Vec<_> = programmed
            .slots
            .extract_if(.., |slots| {
                !used.contains(&slots.run.first) && !slots.backends.chooses_as(&table.backends)
            })
            .collect();
        for slots in unused {
            self.retire(Retiree::Run(slots.run), due_ns);
        }
    }
}

/// What is left while one Service is fitted in.
struct Room {
    frontends: BTreeMap<IpFamily, u32>,
    /// Addresses that have found room for their own entries.
    addresses: BTreeSet<IpAddr>,
    /// Those that have found room.
    tables: Vec<(TableKey, Arc<Table>)>,
    /// What something was left out for.
    short: Option<StoreError>,
    /// The Service has frontends already.
    is_there: bool,
}

impl Room {
    /// Room for a frontend, and for its address's own entry where that is not there yet.
    fn take_frontend(&mut self, frontend: Frontend, address_is_known: bool) -> bool {
        let address = frontend.address;
        let brings_address = !address_is_known && !self.addresses.contains(&address);
        let needed = 1 + u32::from(brings_address);
        let free = self.frontends.entry(IpFamily::of(address)).or_default();
        let Some(left) = free.checked_sub(needed) else {
            return false;
        };
        *free = left;
        if brings_address {
            self.addresses.insert(address);
        }
        true
    }

    /// A map has no room left: refuses a new Service, notes it for one that is there.
    fn lack(&mut self, map: &'static str, capacity: u32) -> Result<(), StoreError> {
        if !self.is_there {
            return Err(full(map, capacity));
        }
        self.short = Some(full(map, capacity));
        Ok(())
    }
}

fn full(map: &'static str, capacity: u32) -> StoreError {
    StoreError::Full { map, capacity }
}
