// SPDX-License-Identifier: MIT OR Apache-2.0
//! Does one operation: writes, and believes only then.

use std::net::IpAddr;

use lb_common::{
    family::{Family as _, V4, V6},
    wire::{Backend, BackendState, CHUNK_SLOTS, Chunk, Service, Slot},
};

use super::{
    actual::{Actual, Pointed, Retiree, higher},
    ahead::{Ahead, Job},
    diff::Op,
    held::Held,
};
use crate::{
    maps::{Frontend, Store, StoreError},
    plan::{BackendKey, Table, TableKey, Tables, maglev},
};

impl Actual {
    /// Does `op` for a table. What falls out of use is retired until `due_ns`.
    pub(super) fn apply(
        &mut self,
        store: &mut impl Store,
        key: &TableKey,
        table: Option<&Table>,
        op: &Op,
        due_ns: u64,
    ) -> Result<(), StoreError> {
        match (op, table) {
            (Op::Label, Some(table)) => self.label(store, key, table, due_ns),
            (Op::Admit(ranges), Some(table)) => self.admit(store, table, ranges),
            (Op::Hold(backends), Some(table)) => self.hold(store, key, table, backends),
            (Op::Fill, Some(table)) => self.fill(store, key, table),
            (Op::Point(frontend), Some(table)) => self.point(store, key, table, *frontend),
            (Op::Withdraw(frontend), _) => self.take_away(store, *frontend),
            (Op::Lower(backend, state), _) => self.lower(store, key, *backend, *state, due_ns),
            (Op::Discard, _) => {
                self.discard(key, table, due_ns);
                Ok(())
            }
            (Op::Unlabel, _) => {
                self.unlabel(key, due_ns);
                Ok(())
            }
            // These are made for wanted tables only.
            (Op::Label | Op::Admit(..) | Op::Hold(..) | Op::Fill | Op::Point(_), None) => Ok(()),
        }
    }

    fn label(
        &mut self,
        store: &mut impl Store,
        key: &TableKey,
        table: &Table,
        due_ns: u64,
    ) -> Result<(), StoreError> {
        let Some(label) = self.labels.get_mut(&table.label) else {
            return Ok(());
        };
        if !label.written {
            store.put_label(label.id, &table.label)?;
            label.written = true;
        }
        label.users = label.users.saturating_add(1);
        label.due_ns = None;
        self.unlabel(key, due_ns);
        self.tables.entry(key.clone()).or_default().label = Some(table.label.clone());
        Ok(())
    }

    fn unlabel(&mut self, key: &TableKey, due_ns: u64) {
        let programmed = self.tables.get_mut(key);
        let Some(text) = programmed.and_then(|programmed| programmed.label.take()) else {
            return;
        };
        let Some(label) = self.labels.get_mut(&text) else {
            return;
        };
        label.users = label.users.saturating_sub(1);
        if label.users == 0 {
            label.due_ns = Some(due_ns);
            self.retire(Retiree::Label(text), due_ns);
        }
    }

    fn hold(
        &mut self,
        store: &mut impl Store,
        key: &TableKey,
        table: &Table,
        backends: &[(BackendKey, BackendState)],
    ) -> Result<(), StoreError> {
        let service_id = self.labels.get(&table.label).map_or(0, |label| label.id);
        let Some(programmed) = self.tables.get_mut(key) else {
            return Ok(());
        };
        let mut values = Vec::new();
        for (backend, state) in backends {
            let Some(held) = programmed.backends.get(backend) else {
                continue;
            };
            let in_map = held
                .written
                .map_or(*state, |written| higher(written, *state));
            if held.service_id != service_id || held.written != Some(in_map) {
                let version = self.numbers.next(store)?;
                values.push(held.value(key, in_map, service_id, version));
            }
        }
        store.put_backends(&values)?;
        let mut values = values.iter().peekable();
        for (backend, state) in backends {
            let Some(held) = programmed.backends.get_mut(backend) else {
                continue;
            };
            if let Some(value) = values.next_if(|value| value.id == held.id) {
                held.believe(value);
            }
            held.needed = Some(*state);
            held.due_ns = Held::STAYS;
            // It was about to go, and comes back as less than it was.
            self.is_lowering |= held.written != held.needed;
        }
        Ok(())
    }

    fn lower(
        &mut self,
        store: &mut impl Store,
        key: &TableKey,
        backend: BackendKey,
        state: Option<BackendState>,
        due_ns: u64,
    ) -> Result<(), StoreError> {
        let Some(Held { id, written, .. }) = self.held(key, &backend).cloned() else {
            return Ok(());
        };
        match state {
            Some(_) if written == state => {}
            Some(_) if self.old_runs.use_backend(id) => self.is_lowering = true,
            Some(state) => self.write_backend(store, key, backend, state)?,
            None => self.retire(Retiree::Backend(key.clone(), backend), due_ns),
        }
        if let Some(held) = self.held(key, &backend) {
            held.needed = state;
            held.due_ns = state.map_or(due_ns, |_| Held::STAYS);
        }
        Ok(())
    }

    /// Writes one backend.
    pub(super) fn write_backend(
        &mut self,
        store: &mut impl Store,
        key: &TableKey,
        backend: BackendKey,
        state: BackendState,
    ) -> Result<(), StoreError> {
        let version = self.numbers.next(store)?;
        if let Some(held) = self.held(key, &backend) {
            let value = held.value(key, state, held.service_id, version);
            store.put_backends(&[value])?;
            held.believe(&value);
        }
        Ok(())
    }

    fn held(&mut self, key: &TableKey, backend: &BackendKey) -> Option<&mut Held> {
        self.tables.get_mut(key)?.backends.get_mut(backend)
    }

    fn fill(
        &mut self,
        store: &mut impl Store,
        key: &TableKey,
        table: &Table,
    ) -> Result<(), StoreError> {
        let chunks = self.build(key, table);
        let programmed = self.tables.get_mut(key);
        let mut slots = programmed.into_iter().flat_map(|known| &mut known.slots);
        if let Some(slots) = slots.find(|slots| slots.fit(table)) {
            store.put_chunks(slots.run.first, &chunks)?;
            slots.written = true;
        }
        Ok(())
    }

    /// Begins to build what Services will want in their turns and have not got.
    pub(super) fn build_ahead<'a>(&mut self, wanted: impl Iterator<Item = &'a Tables>) {
        let tables = wanted.enumerate();
        let tables = tables.flat_map(|(turn, tables)| tables.iter().map(move |it| (turn, it)));
        let is_there = |key: &TableKey, table: &Table| {
            let programmed = self.tables.get(key);
            let slots = programmed.and_then(|programmed| programmed.current(table));
            slots.is_some_and(|slots| slots.written)
        };
        let missing = tables
            .filter(|(_, (key, table))| table.slot_count > 0 && !is_there(key, table))
            .map(|(turn, (key, table))| Job::new(turn, key, table));
        self.ahead = Ahead::start(self.seed, missing.collect());
    }

    /// It is a Service's turn to be written.
    pub(super) fn begin(&mut self, turn: usize) {
        if let Some(ahead) = &mut self.ahead {
            ahead.begin(turn);
        }
    }

    /// The slots of a table: ids in the places that Maglev gives them.
    pub(super) fn build(&mut self, key: &TableKey, table: &Table) -> Vec<Chunk> {
        let ahead = self.ahead.as_mut();
        let slots = ahead.and_then(|ahead| ahead.take(key, table));
        let programmed = self.tables.get(key);
        let id = |backend| {
            let held = programmed.and_then(|programmed| programmed.backends.get(backend));
            held.map_or(0, |held| held.id)
        };
        let chosen: Vec<_> = table.backends.chosen().collect();
        let ids: Vec<u32> = chosen.iter().map(id).collect();
        let slots = slots.unwrap_or_else(|| maglev::table(self.seed, &chosen, table.slot_count));
        let size = usize::try_from(CHUNK_SLOTS).unwrap_or(usize::MAX);
        let chunks = slots.chunks(size).map(|slots| {
            let mut chunk = Chunk::default();
            for (cell, position) in chunk.backends.iter_mut().zip(slots) {
                let position = usize::try_from(*position).unwrap_or(usize::MAX);
                *cell = Slot::of(ids.get(position).copied().unwrap_or(0));
            }
            chunk
        });
        chunks.collect()
    }

    fn point(
        &mut self,
        store: &mut impl Store,
        key: &TableKey,
        table: &Table,
        frontend: Frontend,
    ) -> Result<(), StoreError> {
        let Some(value) = self.value(key, table) else {
            return Ok(());
        };
        let version = self.numbers.next(store)?;
        let value = Service {
            version,
            version_end: version,
            flags: table.flags_at(frontend),
            ..value
        };
        store.put_frontend(frontend, &value)?;
        let owner = Some(key.clone());
        self.set_frontend(frontend, Pointed { owner, value });
        Ok(())
    }

    fn discard(&mut self, key: &TableKey, table: Option<&Table>, due_ns: u64) {
        let Some(programmed) = self.tables.get_mut(key) else {
            return;
        };
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut programmed.slots)
            .into_iter()
            .partition(|slots| table.is_some_and(|table| slots.fit(table)));
        programmed.slots = kept;
        for slots in gone {
            self.retire(Retiree::Run(slots.run), due_ns);
        }
    }
}

impl Held {
    /// What is written for a backend; its first write is its birth.
    fn value(&self, key: &TableKey, state: BackendState, service_id: u32, version: u64) -> Backend {
        let backend = &self.backend;
        let (family, address) = match backend.address {
            IpAddr::V4(address) => (4, V4::widen(address.octets())),
            IpAddr::V6(address) => (6, V6::widen(address.octets())),
        };
        Backend {
            version,
            epoch: if self.epoch == 0 { version } else { self.epoch },
            address,
            port: backend.port.to_be_bytes(),
            protocol: backend.protocol,
            state: state.byte(),
            id: self.id,
            service_id,
            family,
            set: key.set.byte(),
            pad: 0,
            version_end: version,
        }
    }

    /// The map holds this now.
    fn believe(&mut self, value: &Backend) {
        self.epoch = value.epoch;
        self.service_id = value.service_id;
        self.written = Some(BackendState::from_byte(value.state));
    }
}
