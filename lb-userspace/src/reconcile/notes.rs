// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people may know of Services besides their tables: what is wrong with them and since when,
//! what is reached by other addresses than Cluster-IPs, and which changes wait for their writes.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::report::{Noted, Probe, Report};
use crate::{
    model::{Change, Name, Parts},
    plan::{Desired, Exposed, Problem},
};

/// Notes on all Services.
#[derive(Debug)]
pub(super) struct Notes {
    epoch_s: u64,
    /// Since when each one is there, in seconds since 1970.
    problems: BTreeMap<Name, BTreeMap<Problem, u64>>,
    problem_count: usize,
    exposed: BTreeMap<Name, Vec<Exposed>>,
    /// The same for reports, made when it is asked for.
    listed: OnceCell<Arc<[Exposed]>>,
    probes: BTreeMap<Name, Probe>,
    /// Where there is any; see [`Desired::not_local`].
    not_local: BTreeMap<Name, [usize; 2]>,
    /// When changes happened that are not planned yet, by Service.
    noted: BTreeMap<Name, BTreeSet<u64>>,
    /// When changes happened that are planned and not written yet.
    unwritten: BTreeMap<Name, BTreeSet<u64>>,
    /// When changes happened that are written.
    programmed: Vec<u64>,
}

impl Notes {
    pub(super) fn new(epoch_s: u64) -> Self {
        Self {
            epoch_s,
            problems: BTreeMap::new(),
            problem_count: 0,
            exposed: BTreeMap::new(),
            listed: OnceCell::new(),
            probes: BTreeMap::new(),
            not_local: BTreeMap::new(),
            noted: BTreeMap::new(),
            unwritten: BTreeMap::new(),
            programmed: Vec::new(),
        }
    }

    /// A Service has been planned anew.
    pub(super) fn update(&mut self, name: &Name, desired: &Desired, now_ns: u64) {
        let before = self.problems.remove(name).unwrap_or_default();
        let unix_s = self.epoch_s.saturating_add(now_ns / 1_000_000_000);
        let since = |problem: Problem| {
            let since_s = before.get(&problem).copied().unwrap_or(unix_s);
            (problem, since_s)
        };
        let problems: BTreeMap<_, _> = desired.problems(name).into_iter().map(since).collect();
        let others = self.problem_count.saturating_sub(before.len());
        self.problem_count = others.saturating_add(problems.len());
        if !problems.is_empty() {
            self.problems.insert(name.clone(), problems);
        }
        let exposed = desired.exposed(name);
        if self.exposed.get(name).map_or(&[][..], Vec::as_slice) != exposed {
            self.listed.take();
            if exposed.is_empty() {
                self.exposed.remove(name);
            } else {
                self.exposed.insert(name.clone(), exposed);
            }
        }
        match desired.health(name) {
            Some(health) => self.probes.insert(
                name.clone(),
                Probe {
                    service: name.to_string(),
                    port: health.port,
                    local_ready: health.local_ready,
                },
            ),
            None => self.probes.remove(name),
        };
        match desired.not_local(name) {
            [0, 0] => self.not_local.remove(name),
            ports => self.not_local.insert(name.clone(), ports),
        };
    }

    /// A change has been seen; a slice's says when it happened. One that takes a slice away does
    /// not: when is not known.
    pub(super) fn trigger(&mut self, change: &Change) {
        if let Change::Slice(slice) = change
            && let Some(triggered_ns) = slice.triggered_ns
        {
            let service = Name::from(Parts {
                namespace: slice.name.namespace.clone(),
                name: slice.service.clone(),
            });
            self.noted.entry(service).or_default().insert(triggered_ns);
        }
    }

    /// All that was seen has been planned.
    pub(super) fn planned(&mut self) {
        for (name, triggers) in std::mem::take(&mut self.noted) {
            self.unwritten.entry(name).or_default().extend(triggers);
        }
    }

    /// A round of writes is over.
    pub(super) fn written(&mut self, waits: impl Fn(&Name) -> bool) {
        let done = self.unwritten.extract_if(.., |name, _| !waits(name));
        self.programmed
            .extend(done.flat_map(|(_, triggers)| triggers));
    }

    pub(super) fn take_programmed(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.programmed)
    }

    pub(super) fn problem_count(&self) -> usize {
        self.problem_count
    }

    /// How many there are of each kind.
    pub(super) fn problem_kinds(&self) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for problem in self.problems.values().flat_map(BTreeMap::keys) {
            let count: &mut usize = kinds.entry(problem.fault.label()).or_default();
            *count = count.saturating_add(problem.fault.count());
        }
        kinds
    }

    pub(super) fn problems(&self) -> Vec<Noted> {
        let all = self.problems.values().flatten();
        let noted = all.map(|(problem, since_s)| Noted {
            problem: problem.clone(),
            since_s: *since_s,
        });
        noted.take(Report::LISTED).collect()
    }

    pub(super) fn exposed_frontends(&self) -> Arc<[Exposed]> {
        let list = || {
            let all = self.exposed.values().flatten();
            all.take(Report::LISTED).cloned().collect()
        };
        self.listed.get_or_init(list).clone()
    }

    /// The sum over all Services.
    pub(super) fn not_local(&self) -> [usize; 2] {
        let ports = self.not_local.values();
        ports.fold([0; 2], |[a, b], [internal, external]| {
            [a.saturating_add(*internal), b.saturating_add(*external)]
        })
    }

    pub(super) fn probes(&self) -> Vec<Probe> {
        self.probes.values().cloned().collect()
    }
}
