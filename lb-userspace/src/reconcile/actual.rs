// SPDX-License-Identifier: MIT OR Apache-2.0
//! What we believe the maps hold, and what is given out of them.
//!
//! A belief changes only after the write that makes it true has succeeded. Room that is given out
//! but not yet written is known as such, so that an attempt that fails can be taken back.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;
use lb_common::wire::{BackendState, CHUNK_SLOTS, Service};

use super::{
    ahead::Ahead,
    held::{Held, Holdings},
    ids::Ids,
    numbers::Numbers,
    old_runs::OldRuns,
    runs::{Run, Runs},
};
use crate::{
    maps::{Capacity, Frontend},
    model::{Name, Protocol},
    plan::{BackendKey, Backends, IpFamily, Set, Table, TableKey},
};

/// The maps, as we know them.
#[derive(Debug)]
pub(super) struct Actual {
    pub(super) capacity: Capacity,
    pub(super) seed: [u64; 2],
    pub(super) numbers: Numbers,
    /// Those of ports.
    pub(super) frontends: BTreeMap<Frontend, Pointed>,
    /// Addresses that have an entry of their own.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Who may dial which Service, by its number.
    pub(super) admitted: BTreeSet<(u32, IpNet)>,
    pub(super) tables: BTreeMap<TableKey, Programmed>,
    pub(super) labels: BTreeMap<Arc<str>, Label>,
    pub(super) backend_ids: Ids,
    pub(super) service_ids: Ids,
    pub(super) runs: Runs,
    pub(super) retired: VecDeque<Retired>,
    /// How many frontends there are of each family, addresses' own included.
    pub(super) frontend_counts: BTreeMap<IpFamily, u32>,
    /// What the previous agent left, until all of it is adopted or gone. Nothing is freed before.
    pub(super) found: Option<Found>,
    /// Runs of the previous agent's that are there and are not known to be what we would build.
    pub(super) old_runs: OldRuns,
    /// Slots that are being built for this round's writes.
    pub(super) ahead: Option<Ahead>,
    /// A backend is in a state that allows more than its table needs, for the sake of an old run.
    pub(super) is_lowering: bool,
}

/// What the previous agent left.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Runs that frontends lead to and no table has adopted.
    pub(super) runs: BTreeSet<Run>,
    /// Backends that no table has adopted, by id.
    pub(super) backends: BTreeMap<u32, Stray>,
}

/// A backend that the previous agent wrote.
#[derive(Debug)]
pub(super) struct Stray {
    /// The Service's number.
    pub(super) service_id: u32,
    /// Which of the port's tables it belongs to.
    pub(super) set: u8,
    pub(super) held: Held,
}

/// A frontend that is there.
#[derive(Clone, Debug)]
pub(super) struct Pointed {
    /// The table it leads to; none: the previous agent wrote it, and nobody has adopted it yet.
    pub(super) owner: Option<TableKey>,
    /// What it says.
    pub(super) value: Service,
}

/// What a table has in the maps. An attempt that failed half-way leaves more than is wanted; the
/// next one goes on from there.
#[derive(Clone, Debug, Default)]
pub(super) struct Programmed {
    pub(super) label: Option<Arc<str>>,
    /// Slot tables; more than one while frontends are being switched.
    pub(super) slots: Vec<Slots>,
    /// Its backends, those included that are about to go.
    pub(super) backends: Holdings,
    /// Frontends that lead here, in order.
    pub(super) frontends: Vec<Frontend>,
}

/// Slots that are built, or about to be.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    pub(super) run: Run,
    /// What they were built from: those that are chosen; none: unknown.
    pub(super) backends: Backends,
    pub(super) written: bool,
}

/// A service id that is given out.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) id: u32,
    pub(super) written: bool,
    /// Tables that carry it.
    pub(super) users: u32,
    /// When it may go, since nobody carries it.
    pub(super) due_ns: Option<u64>,
}

/// Something that nothing leads to any more, while packets may still be on their way with it.
#[derive(Clone, Debug)]
pub(super) struct Retired {
    pub(super) due_ns: u64,
    pub(super) what: Retiree,
}

/// What is retired.
#[derive(Clone, Debug)]
pub(super) enum Retiree {
    Run(Run),
    Backend(TableKey, BackendKey),
    Stray(u32),
    Label(Arc<str>),
}

impl Actual {
    /// The tables of one Service.
    pub(super) fn tables_of(&self, service: &Name) -> Vec<TableKey> {
        let first = TableKey {
            service: service.clone(),
            port: 0,
            protocol: Protocol::Tcp,
            family: IpFamily::V4,
            set: Set::Cluster,
        };
        let from_there = self.tables.range(first..).map(|(key, _)| key);
        let its = from_there.take_while(|key| key.service == *service);
        its.cloned().collect()
    }

    /// What a frontend of a table says, but for its version and for flags of its own. None: the
    /// table is not built yet.
    pub(super) fn value(&self, key: &TableKey, table: &Table) -> Option<Service> {
        let programmed = self.tables.get(key)?;
        let label = self.labels.get(&table.label)?;
        let first_chunk = match programmed.current(table) {
            Some(slots) => slots.run.first,
            None if table.slot_count == 0 => 0,
            None => return None,
        };
        Some(Service {
            service_id: label.id,
            flags: table.flags,
            first_chunk,
            slot_count: table.slot_count,
            backend_count: u32::try_from(table.backends.chosen().count()).unwrap_or(u32::MAX),
            affinity_s: table.affinity_s,
            ..Service::default()
        })
    }

    /// Whether a frontend of a table says what it should.
    pub(super) fn points(&self, frontend: Frontend, key: &TableKey, value: &Service) -> bool {
        self.frontends.get(&frontend).is_some_and(|known| {
            let known_value = Service {
                version: 0,
                version_end: 0,
                identity: 0,
                ..known.value
            };
            known.owner.as_ref() == Some(key) && known_value == *value
        })
    }

    /// Believes that a frontend leads somewhere.
    pub(super) fn set_frontend(&mut self, frontend: Frontend, pointed: Pointed) {
        let owner = pointed.owner.clone();
        if let Some(old) = self.frontends.insert(frontend, pointed) {
            self.disown(frontend, old.owner.as_ref());
        } else {
            self.count_up(frontend.address);
        }
        if let Some(table) = owner {
            let table = self.tables.entry(table).or_default();
            if let Err(place) = table.frontends.binary_search(&frontend) {
                // Nearly always, there is one.
                table.frontends.reserve_exact(1);
                table.frontends.insert(place, frontend);
            }
        }
    }

    /// Believes that a frontend is gone.
    pub(super) fn unset_frontend(&mut self, frontend: Frontend) {
        if let Some(old) = self.frontends.remove(&frontend) {
            self.disown(frontend, old.owner.as_ref());
            self.count_down(frontend.address);
        }
    }

    pub(super) fn count_up(&mut self, address: IpAddr) {
        let count = self.frontend_counts.entry(IpFamily::of(address));
        let count = count.or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn count_down(&mut self, address: IpAddr) {
        let count = self.frontend_counts.entry(IpFamily::of(address));
        let count = count.or_default();
        *count = count.saturating_sub(1);
    }

    fn disown(&mut self, frontend: Frontend, owner: Option<&TableKey>) {
        if let Some(table) = owner.and_then(|owner| self.tables.get_mut(owner))
            && let Ok(place) = table.frontends.binary_search(&frontend)
        {
            table.frontends.remove(place);
        }
    }

    pub(super) fn retire(&mut self, what: Retiree, due_ns: u64) {
        self.retired.push_back(Retired { due_ns, what });
    }
}

impl Programmed {
    /// The slots that a table wants, built or about to be.
    pub(super) fn current(&self, table: &Table) -> Option<&Slots> {
        self.slots.iter().find(|slots| slots.fit(table))
    }

    /// One more slot table; more than one is rare, and not for long.
    pub(super) fn add_slots(&mut self, slots: Slots) {
        self.slots.reserve_exact(1);
        self.slots.push(slots);
    }

    /// Nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        self.label.is_none()
            && self.slots.is_empty()
            && self.backends.is_empty()
            && self.frontends.is_empty()
    }
}

impl Slots {
    /// Whether they are those that a table wants.
    pub(super) fn fit(&self, table: &Table) -> bool {
        table.slot_count > 0
            && self.run.chunks.saturating_mul(CHUNK_SLOTS) == table.slot_count
            && self.backends.chooses_as(&table.backends)
    }
}

impl Label {
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            written: false,
            users: 0,
            due_ns: None,
        }
    }
}

/// How much a state allows: rising is safe before slots lead there, sinking after none does.
pub(super) fn rank(state: BackendState) -> u8 {
    match state {
        BackendState::Free => 0,
        BackendState::Quiet => 1,
        BackendState::Draining => 2,
        BackendState::Active => 3,
    }
}

/// The one of two states that allows more.
pub(super) fn higher(one: BackendState, other: BackendState) -> BackendState {
    if rank(one) < rank(other) { other } else { one }
}
