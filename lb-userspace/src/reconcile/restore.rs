// SPDX-License-Identifier: MIT OR Apache-2.0
//! Goes on from what the maps hold: identifiers are reused, tables that are right are kept as they
//! are, and what nobody wants any more is pruned once everything is known.

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry};

use lb_common::wire::{Backend, BackendState, CHUNK_SLOTS, Service};

use super::{
    actual::{Actual, Found, Label, Pointed, Retiree, Slots, Stray},
    held::Held,
    ids::Ids,
    numbers::Numbers,
    old_runs::OldRuns,
    runs::{Run, Runs},
};
use crate::{
    maps::{Frontend, Store, StoreError, backend_address},
    plan::{BackendKey, Backends, Desired, IpFamily, Table, TableKey},
};

impl Actual {
    /// Reads the maps. Writes nothing.
    pub(super) fn restore(store: &impl Store, seed: [u64; 2]) -> Result<Self, StoreError> {
        let capacity = store.capacity();
        let frontends = store.frontends()?;
        let backends = store.backends()?;
        let given_out = frontends.iter().map(|(_, service)| service.version);
        let to_backends = backends
            .iter()
            .map(|(_, value)| value.version.max(value.epoch));
        let newest = given_out.chain(to_backends).max().unwrap_or(0);
        let numbers = Numbers::after(store.counter()?, newest);
        let mut actual = Self {
            capacity,
            seed,
            numbers,
            frontends: BTreeMap::new(),
            addresses: BTreeSet::new(),
            admitted: store.admitted()?.into_iter().collect(),
            tables: BTreeMap::new(),
            labels: BTreeMap::new(),
            backend_ids: Ids::new(capacity.backends),
            // Each family's map may be full, each entry with a label of its own; and id 0.
            service_ids: Ids::new(capacity.frontends.saturating_mul(2).saturating_add(1)),
            runs: Runs::new(capacity.chunks),
            retired: VecDeque::new(),
            frontend_counts: BTreeMap::new(),
            found: None,
            old_runs: OldRuns::default(),
            ahead: None,
            is_lowering: false,
        };
        let mut found = Found::default();
        for (id, backend) in backends {
            actual.restore_backend(id, &backend, &mut found);
        }
        for (id, text) in store.labels()? {
            actual.restore_label(id, &text);
        }
        for (frontend, service) in frontends {
            actual.restore_frontend(frontend, service, &mut found);
        }
        for run in &found.runs {
            let chunks = store.chunks(run.first, run.chunks)?;
            actual.old_runs.insert(*run, &chunks);
        }
        actual.found = Some(found);
        Ok(actual)
    }

    /// Takes over what the previous agent wrote for a table, if it is not taken over yet.
    pub(super) fn adopt(&mut self, key: &TableKey, table: &Table) {
        let Some(found) = &self.found else {
            return;
        };
        let pointed = |frontend: &Frontend| {
            let pointed = self
                .frontends
                .get(frontend)
                .filter(|known| known.owner.is_none());
            pointed.map(|known| (*frontend, known.value))
        };
        let ours: Vec<_> = table.frontends.iter().filter_map(pointed).collect();
        let runs = ours.iter().filter_map(|(_, service)| run_of(service));
        let runs: BTreeSet<_> = runs.filter(|run| found.runs.contains(run)).collect();
        for (frontend, value) in ours {
            let owner = Some(key.clone());
            self.set_frontend(frontend, Pointed { owner, value });
        }
        // Where two ids stand for one backend, the one that packets are led to stays.
        for run in &runs {
            self.adopt_backends(key, table, Some(*run));
        }
        self.adopt_backends(key, table, None);
        for run in runs {
            self.adopt_run(key, table, run);
        }
    }

    /// The backends that were written for the table of this name: those that a run leads to, or
    /// all.
    fn adopt_backends(&mut self, key: &TableKey, table: &Table, run: Option<Run>) {
        let (Some(found), Some(label)) = (&mut self.found, self.labels.get(&table.label)) else {
            return;
        };
        let is_ours = |stray: &Stray| {
            (stray.service_id, stray.set) == (label.id, key.set.byte())
                && IpFamily::of(stray.held.backend.address) == key.family
                && stray.held.backend.protocol == key.protocol.number()
        };
        let ours = found.backends.iter().filter(|(_, stray)| is_ours(stray));
        let led_to = |id: &u32| run.is_none_or(|run| self.old_runs.leads(run, *id));
        let ids: Vec<u32> = ours.map(|(id, _)| *id).filter(led_to).collect();
        for id in ids {
            let programmed = self.tables.entry(key.clone()).or_default();
            if let Entry::Occupied(stray) = found.backends.entry(id)
                && !programmed.backends.has(&stray.get().held.backend)
            {
                programmed.backends.add(stray.remove().held);
            }
        }
    }

    /// The slots that frontends of a table lead to.
    fn adopt_run(&mut self, key: &TableKey, table: &Table, run: Run) {
        let chunks = self.build(key, table);
        let is_current = self.old_runs.is(run, &chunks);
        if let Some(found) = &mut self.found {
            found.runs.remove(&run);
        }
        if is_current {
            self.old_runs.remove(run);
        }
        let programmed = self.tables.entry(key.clone()).or_default();
        programmed.add_slots(Slots {
            run,
            backends: if is_current {
                table.backends.clone()
            } else {
                Backends::default()
            },
            written: true,
        });
    }

    /// Removes what the previous agent left and nobody wants. To be called when every Service has
    /// had its turn, until it says that nothing is left to do.
    pub(super) fn prune(
        &mut self,
        store: &mut impl Store,
        desired: &Desired,
        due_ns: u64,
    ) -> Result<(), StoreError> {
        if self.found.is_none() {
            return Ok(());
        }
        let left = self.frontends.iter();
        let left = left.filter(|(_, pointed)| pointed.owner.is_none());
        let left: Vec<_> = left.map(|(frontend, _)| *frontend).collect();
        let mut settled = true;
        for frontend in left {
            if desired.is_served(frontend) {
                settled = false;
                continue;
            }
            self.take_away(store, frontend)?;
        }
        self.prune_addresses(store)?;
        self.prune_ranges(store)?;
        if settled
            && self
                .frontends
                .values()
                .all(|pointed| self.leads_to_its_own(pointed))
        {
            self.sweep(due_ns);
        }
        Ok(())
    }

    fn restore_backend(&mut self, id: u32, backend: &Backend, found: &mut Found) {
        let state = BackendState::from_byte(backend.state);
        if state == BackendState::Free || !self.backend_ids.reserve(id) {
            return;
        }
        let address = backend_address(backend);
        let key = BackendKey {
            address: address.ip(),
            port: address.port(),
            protocol: backend.protocol,
        };
        let stray = Stray {
            service_id: backend.service_id,
            set: backend.set,
            held: Held {
                epoch: backend.epoch,
                service_id: backend.service_id,
                written: Some(state),
                needed: Some(state),
                ..Held::new(key, id)
            },
        };
        found.backends.insert(id, stray);
    }

    fn restore_label(&mut self, id: u32, text: &str) {
        if self.service_ids.reserve(id) {
            let mut label = Label::new(id);
            label.written = true;
            self.labels.insert(text.into(), label);
        }
    }

    fn restore_frontend(&mut self, frontend: Frontend, value: Service, found: &mut Found) {
        if frontend.is_of_address() {
            self.addresses.insert(frontend.address);
            self.count_up(frontend.address);
            return;
        }
        if let Some(run) = run_of(&value)
            && (found.runs.contains(&run) || self.runs.reserve(run))
        {
            found.runs.insert(run);
        }
        self.set_frontend(frontend, Pointed { owner: None, value });
    }

    /// Whether the slots that a frontend leads to are known as its own table's.
    fn leads_to_its_own(&self, pointed: &Pointed) -> bool {
        let Some(run) = run_of(&pointed.value) else {
            return true;
        };
        let table = pointed
            .owner
            .as_ref()
            .and_then(|owner| self.tables.get(owner));
        table.is_some_and(|table| table.slots.iter().any(|slots| slots.run == run))
    }

    /// Nothing of the previous agent's is in use but what was taken over: the rest may go.
    fn sweep(&mut self, due_ns: u64) {
        let unused = self.labels.iter_mut().filter(|(_, label)| label.users == 0);
        let mut texts = Vec::new();
        for (text, label) in unused {
            label.due_ns = Some(due_ns);
            texts.push(text.clone());
        }
        for text in texts {
            self.retire(Retiree::Label(text), due_ns);
        }
        let found = self.found.take().unwrap_or_default();
        for run in found.runs {
            self.retire(Retiree::Run(run), due_ns);
        }
        for id in found.backends.into_keys() {
            self.retire(Retiree::Stray(id), due_ns);
        }
    }
}

/// The chunks that a frontend leads to; none: no slots, or a value that we never wrote.
fn run_of(service: &Service) -> Option<Run> {
    let chunks = service.slot_count / CHUNK_SLOTS;
    let whole = chunks > 0 && service.slot_count.is_multiple_of(CHUNK_SLOTS);
    (whole && chunks.is_power_of_two()).then_some(Run {
        first: service.first_chunk,
        chunks,
    })
}
