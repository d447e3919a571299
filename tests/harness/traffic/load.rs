// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many flows: as fast as they go, or at a rate while others stay open.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use k8s_openapi::jiff::Timestamp;
use lb_userspace::clock;
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{Connection, Protocol, Server};
use crate::{netns::Namespace, wait};

/// How often an open flow sends a message.
const PACE: Duration = Duration::from_millis(200);

/// One kind of flow: what it runs over, from which address, to where.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// What it runs over.
    pub protocol: Protocol,
    /// The client's own address.
    pub from: IpAddr,
    /// What the client dials.
    pub target: SocketAddr,
}

/// What came of some flows.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many flows each pod answered.
    pub pods: BTreeMap<String, u64>,
    /// How many messages each flow sent, by its id; without the flows that failed.
    pub sent: BTreeMap<u64, u64>,
    /// What went wrong, one text a flow.
    pub failures: Vec<String>,
}

/// Shared by the tasks of one runtime.
type Ledger = Arc<Mutex<Report>>;

impl Report {
    /// Joins the clients' ledger with the servers': every message of a flow that did not fail was
    /// answered exactly once, by one server.
    pub fn join(&self, servers: &[&Server]) -> anyhow::Result<()> {
        let logs: Vec<_> = servers.iter().map(|server| server.log()).collect();
        for (id, sent) in &self.sent {
            let seen: Vec<u64> = logs.iter().filter_map(|log| log.get(id).copied()).collect();
            ensure!(
                seen == [*sent],
                "flow {id} sent {sent} messages, servers saw {seen:?}"
            );
        }
        Ok(())
    }

    /// The largest distance of a pod's share from the even one among `pods`, as a fraction of it.
    pub fn imbalance(&self, pods: usize) -> f64 {
        let total: u64 = self.pods.values().sum();
        let even = total_as_f64(total) / f64::from(u32::try_from(pods).unwrap_or(u32::MAX));
        let idle = if self.pods.len() < pods { 1.0 } else { 0.0 };
        let distance = |count: &u64| (total_as_f64(*count) / even - 1.0).abs();
        self.pods.values().map(distance).fold(idle, f64::max)
    }

    /// With the moment, which the agent's log has as well.
    fn fail(&mut self, what: &str) {
        let moment = i128::from(clock::unix_ns());
        let moment = Timestamp::from_nanosecond(moment).unwrap_or_default();
        self.failures.push(format!("{moment:.3}: {what}"));
    }

    fn note(&mut self, connection: &Connection, outcome: anyhow::Result<String>) {
        let (id, sent) = connection.sent();
        match outcome {
            Ok(pod) => {
                *self.pods.entry(pod).or_default() += 1;
                self.sent.insert(id, sent);
            }
            Err(error) => {
                let pod = connection.pod().unwrap_or("nobody");
                self.fail(&format!("flow {id}, message {sent}, with {pod}: {error:#}"));
            }
        }
    }
}

/// Many short flows with one message each.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// What they run over, from and to.
    pub route: Route,
    /// How many.
    pub count: u64,
    /// How many of them are open at a time.
    pub at_once: u64,
    /// The first flow's id; the others follow.
    pub first_id: u64,
    /// The first flow's source port; the others follow, so that two runs choose alike. Without it
    /// the kernel chooses.
    pub first_port: Option<u16>,
}

impl Burst {
    /// So many over this route, 50 at a time, with ids from 0 and ports of the kernel's choice.
    pub fn of(route: Route, count: u64) -> Self {
        Self {
            route,
            count,
            at_once: 50,
            first_id: 0,
            first_port: None,
        }
    }

    /// The same with other ids: a server counts each flow's messages by its id.
    #[must_use]
    pub fn first_id(self, first_id: u64) -> Self {
        Self { first_id, ..self }
    }
}

/// Opens all of them and returns what came of it.
pub async fn burst(burst: Burst) -> Report {
    let ledger = Ledger::default();
    let next = Arc::new(AtomicU64::new(0));
    let workers = (0..burst.at_once).map(|_worker| {
        let (ledger, next) = (Arc::clone(&ledger), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= burst.count {
                    return;
                }
                let first_port = burst.first_port;
                let port = first_port.map_or(0, |first| port_after(first, number));
                once(burst.route, port, burst.first_id + number, &ledger).await;
            }
        })
    });
    // Collected first, so that all of them run before the first one is waited for.
    for worker in workers.collect::<Vec<_>>() {
        if let Err(panic) = worker.await {
            lock(&ledger).failures.push(panic.to_string());
        }
    }
    lock(&ledger).clone()
}

/// Traffic that goes on in the background until it is stopped.
#[derive(Debug)]
pub struct Load {
    ledger: Ledger,
    stop: watch::Sender<bool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Load {
    /// Opens `open` flows that exchange a message every 200 ms, waits until each has had its first
    /// answer, then opens `per_second` further flows a second, with one message each. The routes
    /// take turns.
    pub fn start(
        at: &Namespace,
        routes: Vec<Route>,
        open: u64,
        per_second: u64,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (ready, begun) = mpsc::channel();
        let ledger = Ledger::default();
        let shared = Arc::clone(&ledger);
        let thread = at.spawn(move || run(routes, open, per_second, shared, ready, stopped))?;
        let limit = Duration::from_secs(20);
        match begun.recv_timeout(limit) {
            Ok(Ok(())) => Ok(Self {
                ledger,
                stop,
                thread,
            }),
            Ok(Err(error)) => Err(error),
            Err(_silence) => Err(anyhow!("{open} flows did not open within {limit:?}")),
        }
    }

    /// Closes all flows and reports.
    pub fn stop(self) -> anyhow::Result<Report> {
        // A receiver that is gone means that the runtime failed; joining says how.
        let _told = self.stop.send(true);
        let ended = self.thread.join();
        ended.map_err(|_panic| anyhow!("the load's thread panicked"))??;
        Ok(lock(&self.ledger).clone())
    }

    /// What has gone wrong so far.
    pub fn failures(&self) -> Vec<String> {
        lock(&self.ledger).failures.clone()
    }

    /// Waits until this many more flows have ended well; a flow that fails ends the waiting.
    pub fn wait_for(&self, flows: usize) -> anyhow::Result<()> {
        let begun = lock(&self.ledger).sent.len();
        let limit = Duration::from_secs(60) + PACE * u32::try_from(flows)?;
        wait::until("flows to be opened", limit, || {
            let ledger = lock(&self.ledger);
            let done = ledger.sent.len() >= begun + flows || !ledger.failures.is_empty();
            done.then_some(())
        })
    }
}

async fn run(
    routes: Vec<Route>,
    open: u64,
    per_second: u64,
    ledger: Ledger,
    ready: mpsc::Sender<anyhow::Result<()>>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut flows = Vec::new();
    let route_of = |id: u64| {
        let count = u64::try_from(routes.len()).unwrap_or(1);
        routes[usize::try_from(id % count).unwrap_or(0)]
    };
    for id in 0..open {
        match begin(route_of(id), 0, id).await {
            Ok(begun) => flows.push(tokio::spawn(keep(
                begun,
                Arc::clone(&ledger),
                stopped.clone(),
            ))),
            Err(error) => {
                let _told = ready.send(Err(error.context("opening the flows that stay open")));
                return;
            }
        }
    }
    let _told = ready.send(Ok(()));
    let mut ticks = every(Duration::from_secs(1) / u32::try_from(per_second.max(1)).unwrap_or(1));
    let mut id = open;
    loop {
        tokio::select! {
            _changed = stopped.changed() => break,
            _tick = ticks.tick(), if per_second > 0 => {
                let (route, ledger) = (route_of(id), Arc::clone(&ledger));
                flows.push(tokio::spawn(async move { once(route, 0, id, &ledger).await }));
                id += 1;
            }
        }
    }
    for flow in flows {
        if let Err(panic) = flow.await {
            lock(&ledger).failures.push(panic.to_string());
        }
    }
}

/// A slow machine does not make up for what it had no time for: there would be none for the agent.
fn every(time: Duration) -> Interval {
    let mut ticks = interval(time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Keeps a flow busy until the end, asks it one last time, and notes it.
async fn keep(begun: (Connection, String), ledger: Ledger, mut stopped: watch::Receiver<bool>) {
    let (mut connection, pod) = begun;
    let mut ticks = every(PACE);
    let outcome = loop {
        let last = tokio::select! {
            _changed = stopped.changed() => true,
            _tick = ticks.tick() => false,
        };
        match connection.exchange().await {
            Ok(_answer) if last => break Ok(pod),
            Ok(_answer) => {}
            Err(error) => break Err(error),
        }
    };
    lock(&ledger).note(&connection, outcome);
}

async fn once(route: Route, port: u16, id: u64, ledger: &Ledger) {
    match begin(route, port, id).await {
        Ok((connection, pod)) => lock(ledger).note(&connection, Ok(pod)),
        Err(error) => lock(ledger).fail(&format!("flow {id}: {error:#}")),
    }
}

/// Opens a flow and exchanges its first message; returns the pod that answered.
async fn begin(route: Route, port: u16, id: u64) -> anyhow::Result<(Connection, String)> {
    let from = SocketAddr::new(route.from, port);
    let mut connection = Connection::open(route.protocol, from, route.target, id)
        .await
        .with_context(|| format!("{route:?}"))?;
    let answer = connection
        .exchange()
        .await
        .with_context(|| format!("{route:?}"))?;
    let local = connection.local()?;
    let seen = answer.client;
    ensure!(seen == local, "the pod sees {seen} instead of {local}");
    Ok((connection, answer.pod))
}

fn port_after(first: u16, number: u64) -> u16 {
    first.wrapping_add(u16::try_from(number % 65_536).unwrap_or(0))
}

/// Counts of flows stay far below 2^32.
fn total_as_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn lock(ledger: &Ledger) -> std::sync::MutexGuard<'_, Report> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
