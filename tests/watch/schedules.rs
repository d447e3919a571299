// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random schedules: objects change, streams break, writes to maps fail and the agent dies, in any
//! order. In the end the maps are the plan of the final world.
//!
//! A schedule ends when all faults are turned off; from then on it is measured. Silence must have
//! been noticed, and everything be right, within the time that a connection may be silent, the
//! longest pause between two attempts, and a second. And from the moment on when the last fault
//! has been noticed (the last failed call of a map, or the last time that the status knew of
//! trouble with the API server, whatever is later) it takes a second at the most.

mod life;
mod faults;
mod agent;
mod measure;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use tests::{
    chance::Chance,
    figures::{self, Progress},
};

use self::{life::Life, measure::Measured};

/// How a schedule meets its API server, and how long things take.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Over HTTP; otherwise in memory.
    http: bool,
    /// For which a watch lasts; silence is noticed 5 s later.
    watch_s: u32,
    /// Pauses between steps are shorter than one of these.
    pauses: [Duration; 3],
    /// How long nothing may change at the end.
    rest: Duration,
}

const MEMORY: Pace = Pace {
    http: false,
    watch_s: 30,
    pauses: [
        Duration::from_millis(20),
        Duration::from_secs(2),
        Duration::from_secs(40),
    ],
    rest: Duration::from_secs(60),
};

const HTTP: Pace = Pace {
    http: true,
    watch_s: 1,
    pauses: [
        Duration::from_millis(20),
        Duration::from_millis(300),
        Duration::from_millis(1_500),
    ],
    rest: Duration::from_secs(1),
};

/// Schedules over HTTP that run at the same time: most of them wait.
const AT_ONCE: u64 = 4;

#[test]
fn end_with_the_maps_of_the_final_world() {
    figures::check("fault-schedules", |run| {
        let (next, progress) = (AtomicU64::new(0), Progress::of(run));
        // Each in a time of its own, so they do not disturb each other.
        let worker = || {
            let mut all = Measured::default();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= run.size {
                    return anyhow::Ok(all);
                }
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .start_paused(true)
                    .build()?;
                let seed = run.seed.wrapping_add(index);
                let lived = runtime.block_on(live(MEMORY, seed));
                // The others need not go on.
                all.add(&lived.inspect_err(|_| next.store(run.size, Ordering::Relaxed))?);
                progress.step();
            }
        };
        let workers = thread::available_parallelism()?.get();
        let mut all = Measured::default();
        thread::scope(|scope| {
            let running: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            for running in running {
                let ended = running.join();
                all.add(&ended.map_err(|_panic| anyhow!("a schedule panicked"))??);
            }
            anyhow::Ok(())
        })?;
        Ok(result(&all))
    });
}

#[test]
fn end_alike_over_http() {
    figures::check("fault-schedules-http", |run| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut all = Measured::default();
        let progress = Progress::of(run);
        let mut seeds = (0..run.size).map(|index| run.seed.wrapping_add(index));
        runtime.block_on(async {
            let mut running = tokio::task::JoinSet::new();
            for seed in seeds.by_ref().take(usize::try_from(AT_ONCE)?) {
                running.spawn(live(HTTP, seed));
            }
            while let Some(ended) = running.join_next().await {
                all.add(&ended??);
                progress.step();
                if let Some(seed) = seeds.next() {
                    running.spawn(live(HTTP, seed));
                }
            }
            anyhow::Ok(())
        })?;
        Ok(result(&all))
    });
}

/// One schedule.
async fn live(pace: Pace, seed: u64) -> anyhow::Result<Measured> {
    let mut life = Life::begin(pace, Chance::new(seed, 0))?;
    let end = async {
        life.steps().await?;
        life.end().await
    };
    let end = end.await;
    end.with_context(|| {
        let log = life.log.join("\n  ");
        format!("repeat it with WEICHE_SEED={seed} WEICHE_SIZE=1; its steps:\n  {log}\n ")
    })
}

fn result(all: &Measured) -> Vec<(&'static str, Value)> {
    let ms = |time: Duration| json!(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    vec![
        ("faults of streams", json!(all.stream_faults)),
        ("failed calls of maps", json!(all.failed_calls)),
        ("agents killed", json!(all.killed)),
        (
            "slowest ms after the last fault was noticed",
            ms(all.noticed),
        ),
        ("slowest ms after the last fault was over", ms(all.over)),
        ("lost deletes", json!(0)),
        ("leaked ids", json!(0)),
    ]
}
