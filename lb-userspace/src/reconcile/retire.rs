// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frees what nothing leads to any more, after a grace period: a packet that read the old entry
//! may still be on its way to what it led to.

use super::actual::{Actual, Retired, Retiree};
use crate::maps::{Store, StoreError};

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
            match self.free(store, &retired) {
                Ok(any) => freed.any |= any,
                Err(error) => {
                    freed.errors.push(error);
                    self.retire_again(retired.what, again_ns);
                }
            }
        }
        freed
    }

    /// When [`Actual::free_due`] has something to do.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        let next = self.retired.front().map(|retired| retired.due_ns);
        next.filter(|_| self.found.is_none())
    }

    /// Frees one thing, unless it came back into use; whether it did.
    fn free(&mut self, store: &mut impl Store, retired: &Retired) -> Result<bool, StoreError> {
        let due_ns = Some(retired.due_ns);
        match &retired.what {
            Retiree::Run(run) => self.runs.give_back(*run),
            Retiree::Stray(id) => {
                store.remove_backend(*id)?;
                self.backend_ids.give_back(*id);
            }
            Retiree::Backend(backend) => {
                let held = self.backends.get(backend);
                let Some(held) = held.filter(|held| held.due_ns == due_ns) else {
                    return Ok(false);
                };
                store.remove_backend(held.id)?;
                self.backend_ids.give_back(held.id);
                self.backends.remove(backend);
            }
            Retiree::Label(text) => {
                let label = self.labels.get(text);
                let Some(label) = label.filter(|label| label.due_ns == due_ns) else {
                    return Ok(false);
                };
                store.remove_label(label.id)?;
                self.service_ids.give_back(label.id);
                self.labels.remove(text);
            }
        }
        Ok(true)
    }

    fn retire_again(&mut self, what: Retiree, due_ns: u64) {
        match &what {
            Retiree::Backend(backend) => {
                if let Some(held) = self.backends.get_mut(backend) {
                    held.due_ns = Some(due_ns);
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
