// SPDX-License-Identifier: MIT OR Apache-2.0
//! From files' texts to [`Change`]s: the whole of standalone mode without its files and its clock.
//!
//! A round: merge what the touched files state, give out Cluster-IPs, compute endpoints, convert,
//! and compare with the round before. Pure.

mod objects;
mod view;

use std::collections::BTreeSet;

use ipnet::IpNet;

use self::{objects::Objects, view::View};
use super::{
    addresses::Ledger,
    endpoints::OwnServer,
    parse::{Key, parse},
    store::{FileId, Store},
};
use crate::{
    model::{Change, Kind},
    watch::{
        snapshot::PodFacts,
        status::{Pending, Problem},
    },
};

/// Everything that the folders state, and what has been said of it.
#[derive(Debug, Default)]
pub struct Catalog {
    cidrs: Vec<IpNet>,
    store: Store,
    touched: BTreeSet<Key>,
    objects: Objects,
    ledger: Ledger,
    own: Option<OwnServer>,
    shown: Option<View>,
}

/// What a round has to say.
#[derive(Debug, Default)]
pub struct Round {
    /// A complete list in the first round, later only differences.
    pub changes: Vec<Change>,
    /// Everything that is wrong, in order, without repetition.
    pub problems: Vec<Problem>,
    /// Pods that serve nothing yet.
    pub pending: Vec<Pending>,
}

impl Catalog {
    /// An empty one, which gives Cluster-IPs out of `cidrs` (the first one's family is that of
    /// Services without wishes) and knows those that `ledger` says are given.
    ///
    /// The agent's `own` server is the endpoint of its Service.
    pub fn new(cidrs: Vec<IpNet>, ledger: Ledger, own: Option<OwnServer>) -> Self {
        Self {
            cidrs,
            ledger,
            own,
            ..Self::default()
        }
    }

    /// A file is there, new or changed.
    pub fn put(&mut self, file: &FileId, text: &str) {
        let parsed = parse(&file.path, text);
        self.touched.extend(self.store.put(file, parsed));
    }

    /// A file cannot be read; what it stated before stays in force.
    pub fn unreadable(&mut self, file: &FileId, problem: Problem) {
        self.store.unreadable(file, problem);
    }

    /// A file is gone.
    pub fn remove(&mut self, file: &FileId) {
        self.touched.extend(self.store.remove(file));
    }

    /// Works in what happened since the last round; `now_s` is in seconds since 1970.
    pub fn round(&mut self, now_s: u64) -> Round {
        let mut problems = self.store.problems();
        for key in std::mem::take(&mut self.touched) {
            self.objects.update(&key, self.store.merged(&key));
        }
        problems.extend(self.objects.problems());
        let mut pending = Vec::new();
        let view = View::of(
            &self.objects,
            &mut self.ledger,
            &self.cidrs,
            self.own.as_ref(),
            now_s,
            &mut problems,
            &mut pending,
        );
        let changes = match &self.shown {
            Some(shown) => view.since(shown),
            None => listing(&view),
        };
        self.shown = Some(view);
        problems.sort();
        problems.dedup();
        Round {
            changes,
            problems,
            pending,
        }
    }

    /// The Pods, as the last round has seen them.
    pub fn pods(&self) -> Vec<PodFacts> {
        let pods = self.objects.pods.iter();
        let facts = pods.map(|(name, stated)| PodFacts::of(name.clone(), &stated.object));
        facts.collect()
    }

    /// Who has which addresses, to be kept on disk.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

fn listing(view: &View) -> Vec<Change> {
    let kinds = [
        Kind::Namespace,
        Kind::Node,
        Kind::EndpointSlice,
        Kind::Service,
    ];
    let begin = kinds.map(Change::Listing);
    let end = kinds.map(Change::Listed);
    let objects = view.since(&View::default());
    begin.into_iter().chain(objects).chain(end).collect()
}

#[cfg(test)]
mod tests;
