// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control plane without kernel, clock and threads: manifests in, maps out.

pub mod dump;
pub mod journal;
pub mod objects;
pub mod oracle;
pub mod shared;
pub mod sound;
pub mod worlds;

use anyhow::Context as _;
use lb_userspace::{
    maps::{Capacity, Store, faulty::Faulty, memory::Memory},
    model::Change,
    reconcile::{Reconciler, Report, Settings},
};

/// Rounds in which the agent must have come to rest; each failing write costs one.
const ROUNDS: usize = 20_000;

/// How far the injected clock may go while the agent comes to rest. Whoever waits for room asks
/// again for ever, so this is also when that counts as rest.
const REST_NS: u64 = 600_000_000_000;

/// An agent over maps in memory that fail at random. Its clock moves only in [`Agent::settle`].
#[derive(Debug)]
pub struct Agent {
    /// The maps.
    pub store: Faulty<Memory>,
    reconciler: Reconciler,
    settings: Settings,
    now_ns: u64,
}

impl Agent {
    /// Starts over what is in `store`.
    pub fn start(store: Faulty<Memory>, settings: Settings) -> anyhow::Result<Self> {
        Ok(Self {
            reconciler: restore(&store, &settings)?,
            store,
            settings,
            now_ns: 1_000_000_000,
        })
    }

    /// Ends the agent, without a word to the maps, and starts another one over them. It knows
    /// nothing of the world yet.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.reconciler = restore(&self.store, &self.settings)?;
        Ok(())
    }

    /// Hands changes over; nothing is written yet.
    pub fn note(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.reconciler.note(change);
        }
    }

    /// One round, at the time of the injected clock.
    pub fn sync(&mut self) {
        self.reconciler.sync(&mut self.store, self.now_ns);
    }

    /// Rounds until nothing is left to do, or only waiting for room. After each, the maps must be
    /// sound.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        let look = |store: &Faulty<Memory>, _| sound::check(&store.store);
        rest(
            &mut self.reconciler,
            &mut self.store,
            &mut self.now_ns,
            look,
        )
    }

    /// What the agent says of itself.
    pub fn report(&self) -> Report {
        self.reconciler.report()
    }

    /// Nothing is left in the maps, and nothing is given out.
    pub fn check_empty(&self) -> anyhow::Result<()> {
        let store = &self.store.store;
        let report = self.report();
        let capacity = store.capacity();
        anyhow::ensure!(store.frontends()?.is_empty(), "frontends are left");
        anyhow::ensure!(store.backends()?.is_empty(), "backends are left");
        anyhow::ensure!(store.labels()?.is_empty(), "labels are left");
        anyhow::ensure!(report.failures.is_empty(), "{:?}", report.failures);
        anyhow::ensure!(report.pending == 0, "{} pending", report.pending);
        // All but id 0.
        let ids = capacity.backends.saturating_sub(1);
        anyhow::ensure!(report.backends_free == ids, "ids have leaked: {report:?}");
        let chunks = report.chunks_free;
        anyhow::ensure!(chunks == capacity.chunks, "chunks have leaked: {report:?}");
        Ok(())
    }
}

/// Lets a reconciler work until it comes to rest; `look` sees the maps after each round, and when
/// that was.
pub fn rest<S: Store>(
    reconciler: &mut Reconciler,
    store: &mut S,
    now_ns: &mut u64,
    mut look: impl FnMut(&S, u64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let end_ns = now_ns.saturating_add(REST_NS);
    for _ in 0..ROUNDS {
        reconciler.sync(store, *now_ns);
        look(store, *now_ns).context("after a round")?;
        match reconciler.next_due_ns(*now_ns) {
            Some(due_ns) if due_ns <= end_ns => *now_ns = due_ns.max(*now_ns),
            _ => return Ok(()),
        }
    }
    anyhow::bail!("still not at rest: {:?}", reconciler.report())
}

/// Room for all that tests do.
pub const AMPLE: Capacity = Capacity {
    frontends: 4_096,
    backends: 4_096,
    chunks: 4_096,
};

/// How often the maps are read before that counts as a failure: half of many calls may fail.
const TRIES: usize = 10_000_000;

/// Reading fails as well; an agent would be started again.
fn restore(store: &Faulty<Memory>, settings: &Settings) -> anyhow::Result<Reconciler> {
    let mut tries = (0..TRIES).map(|_| Reconciler::restore(store, settings));
    let first = tries.find_map(Result::ok);
    first.context("the maps cannot be read")
}
