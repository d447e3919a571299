// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frees what nothing leads to any more, after a grace period: a packet that read the old entry
//! may still be on its way to what it led to.

use lb_common::wire::Service;

use super::{
    actual::{Actual, Retired, Retiree},
    held::Held,
};
use crate::{
    maps::{Store, StoreError},
    plan::{BackendKey, TableKey},
};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Freed {
    /// Something was freed: whoever waits for room may try again.
    pub(super) any: bool,
    /// Writes that failed; they are tried again after another grace period.
    pub(super) errors: Vec<StoreError>,
}

impl Actual {
    /// Frees all that is due.
    pub(super) fn free_due(&mut self, store: &mut impl Store, now_ns: u64, grace_ns: u64) -> Freed {
        let mut freed = Freed::default();
        if self.found.is_some() {
            return freed;
        }
        let again_ns = now_ns.saturating_add(grace_ns.max(1));
        while let Some(retired) = self
            .retired
            .pop_front_if(|retired| retired.due_ns <= now_ns)
        {
            if self.is_led_to(&retired.what) {
                self.retire_again(retired.what, again_ns);
                continue;
            }
            match self.free(store, &retired) {
                Ok(any) => freed.any |= any,
                Err(error) => {
                    freed.errors.push(error);
                    self.retire_again(retired.what, again_ns);
                }
            }
        }
        if let Err(error) = self.lower_all(store) {
            freed.errors.push(error);
        }
        freed
    }

    /// Lets backends sink that old runs have kept from it.
    fn lower_all(&mut self, store: &mut impl Store) -> Result<(), StoreError> {
        if !std::mem::take(&mut self.is_lowering) {
            return Ok(());
        }
        let mut lowered = Vec::new();
        for (key, programmed) in &self.tables {
            for held in programmed.backends.iter() {
                if let Some(needed) = held.needed.filter(|_| held.written != held.needed) {
                    lowered.push((key.clone(), held.backend, held.id, needed));
                }
            }
        }
        for (key, backend, id, needed) in lowered {
            // Also where a way in has failed half-way: the slots that are there still lead to it.
            if self.old_runs.use_backend(id) || self.leads(&key, &backend) {
                self.is_lowering = true;
                continue;
            }
            let written = self.write_backend(store, &key, backend, needed);
            if written.is_err() {
                self.is_lowering = true;
                return written;
            }
        }
        Ok(())
    }

    /// Whether a frontend of a table leads to slots with a backend in them.
    fn leads(&self, key: &TableKey, backend: &BackendKey) -> bool {
        let Some(programmed) = self.tables.get(key) else {
            return false;
        };
        let with_it = |service: &Service| {
            let mut slots = programmed.slots.iter();
            slots.any(|slots| {
                slots.run.first == service.first_chunk && slots.backends.chooses(backend)
            })
        };
        let frontends = programmed.frontends.iter();
        let mut pointed = frontends.filter_map(|frontend| self.frontends.get(frontend));
        pointed.any(|pointed| pointed.value.slot_count > 0 && with_it(&pointed.value))
    }

    /// When [`Actual::free_due`] has something to do.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        let next = self.retired.front().map(|retired| retired.due_ns);
        next.filter(|_| self.found.is_none())
    }

    /// Frees one thing, unless it came back into use; whether it did.
    fn free(&mut self, store: &mut impl Store, retired: &Retired) -> Result<bool, StoreError> {
        match &retired.what {
            Retiree::Run(run) => {
                self.runs.give_back(*run);
                self.old_runs.remove(*run);
            }
            Retiree::Stray(id) => {
                store.remove_backend(*id)?;
                self.backend_ids.give_back(*id);
            }
            Retiree::Backend(key, backend) => {
                let Some(programmed) = self.tables.get_mut(key) else {
                    return Ok(false);
                };
                let held = programmed.backends.get(backend);
                let Some(held) = held.filter(|held| held.due_ns == retired.due_ns) else {
                    return Ok(false);
                };
                store.remove_backend(held.id)?;
                self.backend_ids.give_back(held.id);
                programmed.backends.remove(backend);
                if programmed.is_empty() {
                    self.tables.remove(key);
                }
            }
            Retiree::Label(text) => {
                let label = self.labels.get(text);
                let Some(label) = label.filter(|label| label.due_ns == Some(retired.due_ns)) else {
                    return Ok(false);
                };
                let id = label.id;
                // Whoever gets the number next admits others.
                self.bar_all(store, id)?;
                store.remove_label(id)?;
                self.service_ids.give_back(id);
                self.labels.remove(text);
            }
        }
        Ok(true)
    }

    /// Whether an old run still leads to a backend that may go otherwise.
    fn is_led_to(&self, what: &Retiree) -> bool {
        let id = match what {
            Retiree::Stray(id) => Some(*id),
            Retiree::Backend(key, backend) => {
                let programmed = self.tables.get(key);
                let held = programmed.and_then(|known| known.backends.get(backend));
                held.map(|held| held.id)
            }
            Retiree::Run(_) | Retiree::Label(_) => None,
        };
        id.is_some_and(|id| self.old_runs.use_backend(id))
    }

    fn retire_again(&mut self, what: Retiree, due_ns: u64) {
        match &what {
            Retiree::Backend(key, backend) => {
                let programmed = self.tables.get_mut(key);
                let held = programmed.and_then(|known| known.backends.get_mut(backend));
                if let Some(held) = held.filter(|held| held.due_ns != Held::STAYS) {
                    held.due_ns = due_ns;
                }
            }
            Retiree::Label(text) => {
                if let Some(label) = self.labels.get_mut(text) {
                    label.due_ns = Some(due_ns);
                }
            }
            Retiree::Run(_) | Retiree::Stray(_) => {}
        }
        self.retire(what, due_ns);
    }
}
