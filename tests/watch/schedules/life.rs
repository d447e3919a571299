// SPDX-License-Identifier: MIT OR Apache-2.0
//! One schedule from its first object to empty maps.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lb_common::wire::Node;
use lb_userspace::{
    maps::{Store as _, faulty::Faulty, memory::Memory},
    reconcile::Settings,
};
use tests::{
    api_objects,
    api_server::{ApiServer, Faults},
    chance::Chance,
    control::{
        AMPLE, dump, oracle,
        shared::Shared,
        worlds::{NODE, Objects},
    },
    wait,
};
use tokio::time::{Instant, timeout};

use super::{Pace, agent::Agent, faults, measure::Measured};

/// The longest pause between two attempts to reach the server, or to write a map.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What may pass after all is known to be well.
const LIMIT: Duration = Duration::from_secs(1);

/// A world, its server, and an agent that follows it.
pub(super) struct Life {
    pace: Pace,
    chance: Chance,
    objects: Objects,
    server: ApiServer,
    store: Shared<Faulty<Memory>>,
    agent: Agent,
    measured: Measured,
    /// What was done, for whoever must find out why it failed.
    pub(super) log: Vec<String>,
    begun: Instant,
}

impl Life {
    pub(super) fn begin(pace: Pace, mut chance: Chance) -> anyhow::Result<Self> {
        let server = if pace.http {
            ApiServer::start()?
        } else {
            ApiServer::in_memory()
        };
        let faulty = Faulty::new(Memory::new(AMPLE), 0, chance.word());
        let store = Shared::new(faulty);
        let agent = Agent::start(pace, &server, store.clone(), chance.word())?;
        Ok(Self {
            pace,
            objects: Objects::default(),
            chance,
            server,
            store,
            agent,
            measured: Measured::default(),
            log: Vec::new(),
            begun: Instant::now(),
        })
    }

    /// All that happens.
    pub(super) async fn steps(&mut self) -> anyhow::Result<()> {
        self.objects = Objects::random(&mut self.chance);
        for change in self.objects.listing(&mut self.chance) {
            api_objects::tell(&self.server, &change);
        }
        for _ in 0..self.chance.below(16) + 4 {
            match self.chance.below(12) {
                0..=3 => self.edit(4).await,
                4..=7 => {
                    let said = faults::any(&self.server, &mut self.chance);
                    self.measured.stream_faults += 1;
                    self.say(&said);
                }
                8 => {
                    let per_mille = *self.chance.pick(&[0, 100, 300, 500]);
                    self.store.lock().set_per_mille(per_mille);
                    self.say(&format!("{per_mille} of 1,000 calls of maps fail"));
                }
                9 if self.chance.one_in(2) => {
                    let seed = self.chance.word();
                    self.agent = Agent::start(self.pace, &self.server, self.store.clone(), seed)?;
                    self.measured.killed += 1;
                    self.say("another agent");
                }
                9 if self.pace.http => {
                    self.server.stop()?;
                    self.pause().await;
                    self.server.restart()?;
                    self.measured.stream_faults += 1;
                    self.say("another server");
                }
                _ => self.pause().await,
            }
        }
        Ok(())
    }

    /// Turns all faults off, and waits until all is right; then takes everything away.
    pub(super) async fn end(&mut self) -> anyhow::Result<Measured> {
        self.server.faults(|faults| *faults = Faults::default());
        self.store.lock().set_per_mille(0);
        self.say("no more faults");
        let settings = Settings::new(NODE, Node::default());
        let sound = oracle::maps_of(&self.server, settings)?;
        let wanted = dump::all(&sound)?;
        let over = Instant::now();
        let silence = Duration::from_secs(u64::from(self.pace.watch_s) + 5);
        let limit = silence + LONGEST_PAUSE + LIMIT;
        let store = self.store.clone();
        let right = || Ok(dump::all(&store.lock().store)? == wanted);
        let noticed = self.agent.until(limit, over, right).await;
        let noticed = noticed.with_context(|| self.difference(&wanted))?;
        self.measured.over = over.elapsed();
        self.measured.noticed = noticed.elapsed();
        ensure!(
            self.measured.noticed <= LIMIT,
            "right only {:?} after the last fault was noticed",
            self.measured.noticed
        );
        // Services may be right while a watch of slices is silent, and is not known to be.
        let left = dump::backends(&sound)?;
        let store = self.store.clone();
        let right = || Ok(dump::backends(&store.lock().store)? == left);
        let freed = self.agent.until(limit, over, right).await;
        let found = || dump::backends(&self.store.lock().store).unwrap_or_default();
        freed.with_context(|| format!("backends:\n{}wanted:\n{left}", found()))?;
        wait::pass_on_runtime(self.pace.rest).await;
        let later = dump::all(&self.store.lock().store)?;
        ensure!(
            later == wanted,
            "no longer right: {}",
            self.difference(&wanted)
        );
        ensure!(found() == left, "backends:\n{}wanted:\n{left}", found());
        self.leave_nothing(limit).await?;
        self.measured.failed_calls = self.store.lock().failed();
        Ok(self.measured)
    }

    async fn leave_nothing(&mut self, limit: Duration) -> anyhow::Result<()> {
        let to = Objects::default();
        for change in self.objects.differences(&to, &mut self.chance) {
            api_objects::tell(&self.server, &change);
        }
        let store = self.store.clone();
        let empty = || {
            let store = &store.lock().store;
            let (frontends, backends) = (store.frontends()?, store.backends()?);
            Ok(frontends.is_empty() && backends.is_empty() && store.labels()?.is_empty())
        };
        let empty = timeout(limit, self.agent.until_empty(empty)).await;
        let left = || {
            let (left, report) = (self.difference(""), self.agent.report());
            format!("something is left: {left}; {report:?}")
        };
        empty.with_context(left)?
    }

    /// Makes one in `rarity` objects anew, one after the other.
    async fn edit(&mut self, rarity: usize) {
        let before = self.objects.clone();
        self.objects.change(&mut self.chance, rarity);
        let changes = before.differences(&self.objects, &mut self.chance);
        self.say(&format!("{} edits", changes.len()));
        for change in changes {
            api_objects::tell(&self.server, &change);
            if self.chance.one_in(4) {
                wait::pass_on_runtime(Duration::from_millis(self.chance.between(1..30))).await;
            }
        }
    }

    async fn pause(&mut self) {
        let longest = *self.chance.pick(&self.pace.pauses);
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        let pause = Duration::from_millis(self.chance.between(1..longest));
        self.say(&format!("a pause of {pause:?}"));
        wait::pass_on_runtime(pause).await;
    }

    fn say(&mut self, what: &str) {
        self.log.push(format!("{:?}: {what}", self.begun.elapsed()));
    }

    fn difference(&self, wanted: &str) -> String {
        let found = dump::all(&self.store.lock().store);
        let found = found.unwrap_or_else(|error| error.to_string());
        let status = self.agent.status();
        format!("found:\n{found}wanted:\n{wanted}status: {status:#?}")
    }
}
