// SPDX-License-Identifier: MIT OR Apache-2.0
//! Slot tables that another core builds while this one writes: where all Services are to be
//! written, building is a third of the work.
//!
//! Only positions, which depend on nothing but what is wanted; ids are given out while writing.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread,
};

use crate::plan::{Backends, Table, TableKey, maglev};

/// Fewer are built when they are needed: a thread costs as much as building two or three.
const FEW: usize = 32;

/// Tables that may wait to be written, of which the largest takes half a MiB.
const WAITING: usize = 16;

/// Tables on their way, in the order in which they will be asked for.
#[derive(Debug)]
pub(super) struct Ahead {
    jobs: Arc<[Job]>,
    /// The first whose table has not been received.
    next: usize,
    tables: Receiver<Vec<u32>>,
    /// Whose turn it is.
    turn: usize,
}

/// A table to be built.
#[derive(Debug)]
pub(super) struct Job {
    /// In which turn it will be asked for.
    turn: usize,
    key: TableKey,
    backends: Backends,
    slot_count: u32,
}

impl Job {
    pub(super) fn new(turn: usize, key: &TableKey, table: &Table) -> Self {
        Self {
            turn,
            key: key.clone(),
            backends: table.backends.clone(),
            slot_count: table.slot_count,
        }
    }
}

impl Ahead {
    /// Starts building. `jobs` are in the order of their turns, and in one turn in that of their
    /// keys, as tables are written. None: whoever needs a table builds it.
    pub(super) fn start(seed: [u64; 2], jobs: Vec<Job>) -> Option<Self> {
        if jobs.len() < FEW {
            return None;
        }
        let jobs: Arc<[Job]> = jobs.into();
        let (sender, tables) = sync_channel(WAITING);
        let to_build = jobs.clone();
        let build = move || {
            for job in &*to_build {
                let chosen: Vec<_> = job.backends.chosen().collect();
                let table = maglev::table(seed, &chosen, job.slot_count);
                if sender.send(table).is_err() {
                    // Nobody asks any more.
                    return;
                }
            }
        };
        let builder = thread::Builder::new().name("slots".to_owned());
        // A system that gives us no thread gets a round that takes longer.
        builder.spawn(build).ok()?;
        Some(Self {
            jobs,
            next: 0,
            tables,
            turn: 0,
        })
    }

    /// A turn begins, with a number above those of all before.
    pub(super) fn begin(&mut self, turn: usize) {
        self.turn = turn;
        while self.job().is_some_and(|job| job.turn < turn) {
            if self.receive().is_none() {
                break;
            }
        }
    }

    /// The slots of a table of this turn, if they are on their way.
    pub(super) fn take(&mut self, key: &TableKey, table: &Table) -> Option<Vec<u32>> {
        loop {
            let job = self.job()?;
            if job.turn != self.turn || job.key > *key {
                return None;
            }
            let is_it = job.key == *key
                && job.slot_count == table.slot_count
                && job.backends.chooses_as(&table.backends);
            let slots = self.receive()?;
            if is_it {
                return Some(slots);
            }
        }
    }

    fn job(&self) -> Option<&Job> {
        self.jobs.get(self.next)
    }

    fn receive(&mut self) -> Option<Vec<u32>> {
        self.next = self.next.saturating_add(1);
        self.tables.recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use lb_common::wire::BackendState;

    use super::*;
    use crate::{
        model::{Forwarding, Name, Protocol},
        plan::{BackendKey, IpFamily, Set},
    };

    const SEED: [u64; 2] = [1, 2];

    fn key(port: u16) -> TableKey {
        TableKey {
            service: Name::new("default", "alpaca"),
            port,
            protocol: Protocol::Tcp,
            family: IpFamily::V4,
            set: Set::Cluster,
        }
    }

    fn table(last: u8, slot_count: u32) -> Table {
        let backend = BackendKey {
            address: IpAddr::from([10, 0, 0, last]),
            port: 80,
            protocol: 6,
        };
        Table {
            label: "default/alpaca:http".into(),
            frontends: [].into(),
            external: [].into(),
            backends: Backends::from_iter([(backend, BackendState::Active)]),
            slot_count,
            affinity_s: 0,
            flags: 0,
            forwarding: Forwarding::Snat,
        }
    }

    #[test]
    fn tables_come_to_those_that_they_were_built_for() {
        // In each turn the ports 1 and 2; the turn says how large the tables are.
        let size = |turn: usize| 256 << (turn % 3);
        let turns = 0..40;
        let jobs = turns
            .clone()
            .flat_map(|turn| [1, 2].map(|port| Job::new(turn, &key(port), &table(1, size(turn)))));
        let mut ahead = Ahead::start(SEED, jobs.collect()).expect("they are many");
        for turn in turns.step_by(3) {
            ahead.begin(turn);
            let (wanted, other) = (table(1, size(turn)), table(2, size(turn)));
            if turn.is_multiple_of(2) {
                assert_eq!(ahead.take(&key(1), &other), None, "of other backends");
            }
            assert_eq!(ahead.take(&key(0), &wanted), None, "not foreseen");
            let slots = ahead.take(&key(2), &wanted).map(|slots| slots.len());
            assert_eq!(slots, usize::try_from(size(turn)).ok(), "turn {turn}");
            assert_eq!(ahead.take(&key(2), &wanted), None, "each once");
            assert_eq!(ahead.take(&key(3), &wanted), None, "not foreseen");
        }
        let few = [Job::new(0, &key(1), &table(1, 256))];
        assert!(Ahead::start(SEED, few.into()).is_none(), "not for a few");
    }
}
