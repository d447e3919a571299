// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the maps what they should be: batch, diff, apply, retry, prune, report.
//!
//! Decides when what is written, and in which order; not what (that is planning). One Service that
//! cannot be written harms no other. Time is an argument; only [`run`] knows a clock.

mod actual;
mod addresses;
mod ranges;
mod ahead;
mod apply;
mod diff;
mod held;
mod ids;
mod notes;
mod numbers;
mod old_runs;
mod program;
mod queue;
mod report;
mod restore;
mod retire;
mod room;
pub mod run;
mod runs;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lb_common::wire::{Node, Range};

pub use report::{Failure, Noted, Probe, Report};

use crate::{
    causes::with_causes,
    maps::{Store, StoreError},
    model::{Change, Name, Touched, World},
    plan::{Desired, IpFamily, Rules},
};
use actual::Actual;
use notes::Notes;
use program::Outcome;
use queue::Queue;

/// What the reconciler needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node's name.
    pub node_name: String,
    /// What the packet path reads; the seed is also that of the slot tables.
    pub node: Node,
    /// Where Services' addresses come from, of each family, if it is known.
    pub ranges: [Range; 2],
    /// How far apart rounds with changes begin at least; what comes in between is gathered.
    pub batch: Duration,
    /// How long what nothing leads to any more is kept for packets on their way.
    pub grace: Duration,
    /// What whoever runs the node decided for all Services.
    pub rules: Rules,
    /// What the clock of [`Reconciler::sync`] showed as 0, in seconds since 1970; for people.
    pub epoch_s: u64,
}

impl Settings {
    /// Settings with the usual times: 5 ms and 250 ms.
    pub fn new(node_name: &str, node: Node) -> Self {
        Self {
            node_name: node_name.to_owned(),
            node,
            ranges: [Range::default(); 2],
            batch: Duration::from_millis(5),
            grace: Duration::from_millis(250),
            rules: Rules::default(),
            epoch_s: 0,
        }
    }
}

/// The way from changes to maps. Hand it changes, then let it write.
#[derive(Debug)]
pub struct Reconciler {
    node: Node,
    ranges: [Range; 2],
    grace_ns: u64,
    world: World,
    desired: Desired,
    actual: Actual,
    /// Services to be planned anew.
    touched: BTreeSet<Name>,
    /// Services that were, since somebody asked.
    replanned: BTreeSet<Name>,
    /// Services to be written.
    queue: Queue,
    /// Services that should have tables.
    services: BTreeSet<Name>,
    /// Of those: whose tables are not as they should be.
    unfinished: BTreeSet<Name>,
    notes: Notes,
    /// What failed besides Services, and how often in a row.
    own_failures: BTreeMap<&'static str, (String, u32)>,
    node_written: bool,
    ranges_written: bool,
    /// Which revision of the nodes' addresses was written.
    nodes_written: Option<u64>,
    /// Changes of Services that were seen so far, and of slices.
    changes: [u64; 2],
}

impl Reconciler {
    /// Goes on from what the maps hold. Reads them, and writes nothing.
    pub fn restore(store: &impl Store, settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self {
            node: settings.node,
            ranges: settings.ranges,
            grace_ns: u64::try_from(settings.grace.as_nanos()).unwrap_or(u64::MAX),
            world: World::new(&settings.node_name),
            desired: Desired::new(settings.rules.clone()),
            actual: Actual::restore(store, settings.node.seed)?,
            touched: BTreeSet::new(),
            replanned: BTreeSet::new(),
            queue: Queue::default(),
            services: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            notes: Notes::new(settings.epoch_s),
            own_failures: BTreeMap::new(),
            node_written: false,
            ranges_written: false,
            nodes_written: None,
            changes: [0; 2],
        })
    }

    /// Takes a change in; [`Reconciler::sync`] acts on it.
    pub fn note(&mut self, change: Change) {
        if self.world.all_listed() {
            self.notes.trigger(&change);
        }
        let [services, slices] = &mut self.changes;
        match change {
            Change::Service(_) | Change::ServiceGone(_) => *services = services.saturating_add(1),
            Change::Slice(_) | Change::SliceGone(_) => *slices = slices.saturating_add(1),
            _ => {}
        }
        match self.world.apply(change) {
            Touched::Services(names) => self.touched.extend(names),
            Touched::Everything => {
                let all = self.world.services().map(|service| service.name.clone());
                self.touched.extend(all);
            }
        }
    }

    /// One round: plans what was touched, and writes what is due at `now_ns`.
    pub fn sync(&mut self, store: &mut impl Store, now_ns: u64) {
        if !self.world.all_listed() {
            return;
        }
        self.replan(now_ns);
        self.notes.planned();
        self.write_node(store);
        self.write_nodes(store);
        let room = self.actual.frontends.len();
        self.write_services(store, now_ns);
        self.write_ranges(store);
        let due_ns = now_ns.saturating_add(self.grace_ns);
        let pruned = self.actual.prune(store, &self.desired, due_ns);
        self.note_own("what the previous agent left", pruned.err());
        self.notes.written(|name| self.queue.has(name));
        let freed = self.actual.free_due(store, now_ns, self.grace_ns);
        if freed.any || self.actual.frontends.len() < room {
            self.queue.wake_waiting(now_ns);
        }
        let error = freed.errors.into_iter().next();
        self.note_own("what is no longer used", error);
    }

    /// When [`Reconciler::sync`] has something to do if no change comes before.
    pub fn next_due_ns(&self, now_ns: u64) -> Option<u64> {
        if !self.world.all_listed() {
            return None;
        }
        let unfinished = self.actual.found.is_some() || !self.own_failures.is_empty();
        let again = unfinished.then(|| now_ns.saturating_add(queue::FIRST_RETRY_NS));
        let due = [self.queue.next_due_ns(), self.actual.next_due_ns(), again];
        due.into_iter().flatten().min()
    }

    /// When the changes happened whose consequences have been written since the last call, in
    /// nanoseconds since 1970: what `network_programming_duration_seconds` is measured from.
    pub fn take_programmed(&mut self) -> Vec<u64> {
        self.notes.take_programmed()
    }

    /// All that is known, once everything was listed.
    pub fn world(&self) -> Option<&World> {
        Some(&self.world).filter(|world| world.all_listed())
    }

    /// The Services that were planned anew since the last call.
    pub fn take_replanned(&mut self) -> BTreeSet<Name> {
        std::mem::take(&mut self.replanned)
    }

    /// What people may know. `pending_since_ns` is by the clock that [`Reconciler::sync`] is told
    /// of; the other times are left to the caller, who has one.
    pub fn report(&self) -> Report {
        let own = self.own_failures.iter();
        let own = own.map(|(about, (reason, attempts))| Failure {
            about: (*about).to_owned(),
            reason: reason.clone(),
            attempts: *attempts,
        });
        let failures: Vec<_> = own.chain(self.queue.failures()).collect();
        let frontends = |family| {
            let count = self.actual.frontend_counts.get(&family);
            count.copied().unwrap_or(0)
        };
        Report {
            listed: self.world.all_listed(),
            services_desired: self.services.len(),
            services_programmed: self.services.len().saturating_sub(self.unfinished.len()),
            pending: self.queue.len(),
            pending_since_ns: self.queue.oldest_ns(),
            problem_count: self.notes.problem_count(),
            problem_kinds: self.notes.problem_kinds(),
            problems: self.notes.problems(),
            exposed: self.notes.exposed_frontends(),
            probes: self.notes.probes(),
            not_local: self.notes.not_local(),
            failure_count: failures.len(),
            failures: failures.into_iter().take(Report::LISTED).collect(),
            capacity: self.actual.capacity,
            frontends: [frontends(IpFamily::V4), frontends(IpFamily::V6)],
            backends_free: self.actual.backend_ids.free(),
            chunks_free: self.actual.runs.free(),
            node_leaving: self.world.node_leaving(),
            node_known: self.world.node_known(),
            node_addresses: self.world.node().addresses.clone(),
            changes: self.changes,
            ..Report::default()
        }
    }

    fn replan(&mut self, now_ns: u64) {
        let mut changed = BTreeSet::new();
        for name in std::mem::take(&mut self.touched) {
            changed.extend(self.desired.replan(&self.world, &name));
            self.replanned.insert(name);
        }
        for name in changed {
            self.notes.update(&name, &self.desired, now_ns);
            self.queue.put(name, now_ns);
        }
    }

    fn write_node(&mut self, store: &mut impl Store) {
        if !self.node_written {
            let written = store.put_node(&self.node);
            self.node_written = written.is_ok();
            self.note_own("the node's settings", written.err());
        }
    }

    /// Where all nodes are, whenever that has changed.
    fn write_nodes(&mut self, store: &mut impl Store) {
        let nodes = self.world.nodes();
        let revision = Some(nodes.revision());
        if self.nodes_written != revision {
            let written = store.put_nodes(&nodes.addresses());
            if written.is_ok() {
                self.nodes_written = revision;
            }
            self.note_own("the addresses of the cluster's nodes", written.err());
        }
    }

    /// Once every Service has had its turn: until then, an address that nobody has may be one that
    /// we do not know yet.
    fn write_ranges(&mut self, store: &mut impl Store) {
        if !self.ranges_written {
            let written = store.put_ranges(&self.ranges);
            self.ranges_written = written.is_ok();
            self.note_own("where Services' addresses come from", written.err());
        }
    }

    fn write_services(&mut self, store: &mut impl Store, now_ns: u64) {
        let due_ns = now_ns.saturating_add(self.grace_ns);
        let desired = &self.desired;
        let due = self.queue.due(now_ns, |name| desired.created_s(name));
        let due = due.into_iter().map(|name| (desired.wanted(&name), name));
        let due: Vec<_> = due.collect();
        self.actual
            .build_ahead(due.iter().map(|(wanted, _)| wanted));
        let mut round = Vec::with_capacity(due.len());
        for (turn, (wanted, name)) in due.into_iter().enumerate() {
            self.actual.begin(turn);
            let entered = self.actual.enter(store, &wanted, due_ns);
            round.push((name, wanted, entered));
        }
        self.actual.ahead = None;
        // A frontend that changes hands is led to its new table above, before the old one would
        // take it away here.
        for (name, wanted, entered) in round {
            let outcome = self
                .actual
                .leave(store, &name, &wanted, entered, desired, due_ns);
            let is_done = matches!(outcome, Outcome::Done);
            match outcome {
                Outcome::Done => self.queue.done(&name),
                Outcome::HandOver => {
                    let reason = "another table has yet to take over its addresses".to_owned();
                    self.queue.failed(&name, reason, false, now_ns);
                }
                Outcome::Short(error) | Outcome::Failed(error) => {
                    let for_room = matches!(error, StoreError::Full { .. });
                    let reason = with_causes(&error);
                    self.queue.failed(&name, reason, for_room, now_ns);
                }
            }
            let is_wanted = !wanted.is_empty();
            if is_wanted && !is_done {
                self.unfinished.insert(name.clone());
            } else {
                self.unfinished.remove(&name);
            }
            if is_wanted {
                self.services.insert(name);
            } else {
                self.services.remove(&name);
            }
        }
    }

    fn note_own(&mut self, about: &'static str, error: Option<StoreError>) {
        match error {
            None => {
                self.own_failures.remove(about);
            }
            Some(error) => {
                let (reason, attempts) = self.own_failures.entry(about).or_default();
                *reason = with_causes(&error);
                *attempts = attempts.saturating_add(1);
            }
        }
    }
}
