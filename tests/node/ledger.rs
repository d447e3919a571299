// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent is killed again and again while the cluster changes: each new one catches up with
//! everything that it has missed, and no connection to a Service that did not change notices.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use k8s_openapi::jiff::Timestamp;
use lb_userspace::clock;
use rustix::process::setpriority_process;
use serde_json::{Value, json};
use tests::{
    api_server::{ApiServer, Resource},
    chance::Chance,
    figures::{self, Run},
    traffic::Load,
    wait,
};

use crate::{cluster::Cluster, scene::POD_PORT};

/// Changes each second.
const CHANGES: u32 = 50;
/// As many as are read in no time: a check reads all maps, again and again.
const SIZES: [&str; 4] = ["--backends", "2048", "--slots", "4096"];
/// As `nice` counts.
const PRIORITY: i32 = -15;
/// Services that change.
const SERVICES: usize = 20;
/// After each restart, the maps are right within this time.
const LIMIT: Duration = Duration::from_secs(2);
/// A check later than this tells nothing more.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn an_agent_that_is_killed_while_objects_change_catches_up() {
    figures::check("agent-killed-under-changes", kill_again_and_again);
}

fn kill_again_and_again(run: Run) -> anyhow::Result<Vec<(&'static str, Value)>> {
    // The figure is the agent's, not that of whatever else the machine does meanwhile: all that is
    // started from here goes before it.
    setpriority_process(None, PRIORITY).context("root may")?;
    let mut cluster = Cluster::set(3)?;
    cluster.scene.start_agent(&SIZES)?;
    let mut chance = Chance::new(run.seed, 0);
    let churn = Churn::start(Arc::clone(&cluster.server), Chance::new(run.seed, 1));
    let routes = cluster.scene.routes();
    let load = Load::start(&cluster.scene.client.namespace, routes, 50, 100);
    let load = load.with_context(|| cluster.scene.last_words())?;
    let mut slowest = Duration::ZERO;
    let mut moments = Vec::new();
    for kill in 1..=run.size {
        // Any moment of its life: at its start, in its first round, in calm work.
        pass(&mut chance, 800);
        moments.push(moment("killed"));
        cluster.scene.kill_agent()?;
        pass(&mut chance, 300);
        moments.push(moment("started"));
        cluster.scene.launch_agent(&SIZES)?;
        let launched = Instant::now();
        if chance.one_in(4) && kill < run.size {
            continue;
        }
        pass(&mut chance, 1_000);
        // No further changes, so that there is one thing to compare with.
        let calm = churn.hold();
        let wanted = cluster.wanted()?;
        let right = wait::until("the maps to be right", PATIENCE, || {
            (cluster.found().ok()? == wanted).then_some(())
        });
        let found = || cluster.found().unwrap_or_else(|error| error.to_string());
        right.with_context(|| format!("kill {kill}; found:\n{}wanted:\n{wanted}", found()))?;
        let took = launched.elapsed();
        slowest = slowest.max(took);
        let failures = load.failures();
        ensure!(
            failures.is_empty() && took <= LIMIT,
            "kill {kill}; right {took:?} after the start; failures: {failures:#?}; {moments:#?}; found:\n{}\n{}",
            found(),
            cluster.scene.last_words()
        );
        drop(calm);
    }
    let changes = churn.stop()?;
    let report = load.stop()?;
    let checked = cluster.scene.check(&report);
    checked.with_context(|| format!("{moments:#?}\n{}", cluster.scene.last_words()))?;
    Ok(vec![
        ("failed", json!(0)),
        ("flows", json!(report.sent.len())),
        ("changes", json!(changes)),
        (
            "slowest ms from start to right",
            json!(u64::try_from(slowest.as_millis())?),
        ),
    ])
}

/// What was done when, as the agent's log and the failures of flows have it.
fn moment(what: &str) -> String {
    let moment = Timestamp::from_nanosecond(i128::from(clock::unix_ns()));
    format!("{:.3}: {what}", moment.unwrap_or_default())
}

/// Lets any time below so many milliseconds go by.
fn pass(chance: &mut Chance, below_ms: u64) {
    wait::pass(Duration::from_millis(chance.between(0..below_ms)));
}

/// Objects that change, on a thread of its own.
struct Churn {
    /// Held while a change is made.
    gate: Arc<Mutex<()>>,
    changes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Churn {
    fn start(server: Arc<ApiServer>, mut chance: Chance) -> Self {
        let gate = Arc::new(Mutex::new(()));
        let changes = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (inner, count, end) = (Arc::clone(&gate), Arc::clone(&changes), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            for step in 0.. {
                let due = Duration::from_secs(1) * step / CHANGES;
                wait::pass(due.saturating_sub(begun.elapsed()));
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let _held = inner.lock();
                change(&server, &mut chance);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            gate,
            changes,
            stop,
            thread,
        }
    }

    /// Nothing changes until this is dropped; what was missed is made up for afterwards.
    fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it; how many changes there were.
    fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_panic| anyhow::anyhow!("the thread that changes objects panicked"))?;
        Ok(self.changes.load(Ordering::Relaxed))
    }
}

/// Changes, makes or deletes one of some Services, or what is behind it.
fn change(server: &ApiServer, chance: &mut Chance) {
    let number = chance.below(SERVICES);
    let name = format!("churn-{number}");
    match chance.below(8) {
        0 => {
            server.delete(Resource::Services, "default", &name);
        }
        1 => {
            server.delete(Resource::EndpointSlices, "default", &name);
        }
        2 | 3 => {
            server.put(service(&name, number, chance));
        }
        _ => {
            server.put(slice(&name, chance));
        }
    }
}

fn service(name: &str, number: usize, chance: &mut Chance) -> Value {
    let (address, port) = (format!("10.96.1.{number}"), 80 + chance.below(3));
    let protocol = *chance.pick(&["TCP", "UDP"]);
    json!({
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "clusterIP": address, "clusterIPs": [address],
            "ports": [{"name": protocol, "port": port, "protocol": protocol}],
        },
    })
}

fn slice(name: &str, chance: &mut Chance) -> Value {
    let endpoints = (0..chance.below(6)).map(|_| {
        let address = format!("10.244.77.{}", 1 + chance.below(40));
        json!({"addresses": [address], "conditions": {"ready": !chance.one_in(5)}})
    });
    let endpoints: Vec<Value> = endpoints.collect();
    let port = |protocol| json!({"name": protocol, "port": POD_PORT, "protocol": protocol});
    json!({
        "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "endpoints": endpoints,
        "ports": [port("TCP"), port("UDP")],
    })
}
