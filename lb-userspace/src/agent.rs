// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's agent: wires the source of changes, the reconciler, the maps and the edges together,
//! and ends when it is told to. What it has pinned goes on serving.

mod log;
mod source;
mod publish;
mod serve;

pub use source::SourceError;

use crate::{
    clock,
    config::{Config, Seed, SeedError, SeedKind},
    datapath::{
        Datapath, DatapathError, Options,
        edges::{EdgeState, EdgesError},
        kernel, lock,
        pin::{PinError, Pins},
    },
    delivery,
    dns::server::Server,
    maps::{
        StoreError,
        kernel::{KernelFlows, KernelReasons, KernelStore, OpenError},
    },
    model::{Change, Name, World},
    observe::{
        Status, StatusError, balancers,
        metrics::{Facts, Metrics},
        server::{ListenError, Source, Vitals},
    },
    reconcile::{self, Report, Settings},
    relief::Relief,
    takeover::{Handover, HandoverError},
};
use lb_common::wire::{Node, Takeover};
use publish::Publisher;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

/// Changes that wait for the reconciler; a source that is faster waits.
const CHANGES: usize = 1_024;

/// The agent cannot run, or not go on. What served before goes on serving.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The node cannot carry it.
    #[error(transparent)]
    Unfit(#[from] kernel::Unfit),
    /// The state folder cannot be used.
    #[error("making --state-dir {path}")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Another agent uses the state folder.
    #[error(transparent)]
    Locked(#[from] lock::LockError),
    /// The seed cannot be had.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// The folder for pins cannot be used.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// Programs or maps cannot be set up.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The maps that were set up cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The maps cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What a kube-proxy serves cannot be spared.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// Objects cannot be followed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Links cannot be followed.
    #[error(transparent)]
    Edges(#[from] EdgesError),
    /// The agent's state cannot be written.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The DNS server cannot be had.
    #[error("starting the DNS server")]
    Dns(#[source] io::Error),
    /// Nobody can be told.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The runtime cannot be had.
    #[error("setting up the agent's event loop or signals")]
    Runtime(#[source] io::Error),
}

/// Runs until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<(), AgentError> {
    log::to_stderr(config.verbosity, config.log_format);
    tracing::info!("weiche {}: {config}", env!("CARGO_PKG_VERSION"));
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(AgentError::Runtime)?.block_on(work(config))
}

async fn work(config: &Config) -> Result<(), AgentError> {
    let mut term = signal(SignalKind::terminate()).map_err(AgentError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Runtime)?;
    let _state_lock = begin(config).await?;
    let seed = source::secret_seed(config)?;
    let mut datapath = Datapath::open(&Options {
        pin_dir: config.pin_dir.clone(),
        state_dir: config.state_dir.clone(),
        attach: config.attach,
        sizes: config.sizes,
        xdp: config.xdp,
    })?;
    datapath.follow_log();
    let maps = datapath.maps();
    let store = KernelStore::open(&maps)?;
    let handover = Handover::find(&maps, datapath.is_new()).await?;
    let takeover = handover.state();
    let (sender, changes) = mpsc::channel(CHANGES);
    let facts = facts(config, seed.as_ref());
    let vitals = vitals(&facts, &maps)?;
    let local = source::local(config, &sender).await?;
    let handle = source::open(config, vitals.metrics.calls(), sender).await?;
    let edges = datapath.edges(config.globs.clone(), config.xdp, config.direct.look())?;
    let (edge_states, edges_seen) = watch::channel(Vec::new());
    let direct = delivery::Keeper::new(config.direct, &maps, edges_seen.clone())?;
    let publisher = Publisher::new(config, &facts, vitals.clone());
    let mut relief = Relief::new(&maps, config.timeouts.tombstone_ns)?;
    let (reports, reported) = watch::channel(Report::default());
    let mut answering = serve::names(config, &maps, vitals.metrics.answers())?;
    let shadow = answering.shadow.take();
    let names = answering.names.as_ref();
    let dns_states = answering.server.as_ref().map(Server::state);
    let renamed = |world: &World, touched: &BTreeSet<Name>| {
        if let Some(names) = names {
            names.update(world, touched);
        }
    };
    let report = |report: Report| {
        vitals.round(&report);
        reports.send_replace(report);
    };
    tokio::select! {
        end = edges.follow(|states| {
            edge_states.send_replace(states.clone());
            publisher.edges(states);
        }) => match end? {},
        end = source::follow(local) => match end? {},
        end = direct.run(|state| publisher.direct(state)) => match end? {},
        end = handover.run(ready(edges_seen, reported.clone()), |progress| {
            publisher.takeover(progress);
        }) => match end? {},
        end = publisher.run(handle.status(), reported.clone()) => match end? {},
        end = balancers::follow(reported, vitals.clone()) => match end {},
        end = vitals.watch_pressure(|usages| relief.look(usages), |pressed| {
            publisher.pressed(pressed);
        }) => match end {},
        end = sync(config, takeover, seed, changes, store, renamed, report) => end?,
        end = publisher.names(dns_states) => match end {},
        end = serve::keep(config, names) => match end {},
        end = serve::compare(shadow, |tally| publisher.shadow(tally)) => match end {},
        end = serve::probes(config, &vitals) => match end? {},
        end = serve::metrics(config, &vitals) => match end? {},
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending; what is pinned goes on serving");
    Ok(())
}

/// Looks at what was given, before anything is made, and takes the state folder.
async fn begin(config: &Config) -> Result<lock::Lock, AgentError> {
    kernel::check()?;
    Pins::new(&config.pin_dir).check_free()?;
    source::check(config).await?;
    fs::create_dir_all(&config.state_dir).map_err(|cause| AgentError::StateDir {
        path: config.state_dir.clone(),
        cause,
    })?;
    Ok(lock::take(&config.state_dir)?)
}

/// Waits until programs are attached and Services written, once.
async fn ready(
    mut attached: watch::Receiver<Vec<EdgeState>>,
    mut reports: watch::Receiver<Report>,
) {
    // A sender that is gone takes the agent with it.
    let _attached = attached.changed().await;
    let _written = reports.wait_for(|report| report.listed).await;
}

/// What stays the same in this run.
fn facts(config: &Config, seed: Option<&Seed>) -> Facts {
    // Whoever cannot be read is of another version, or was never written.
    let before = Status::read(&config.state_dir).map_or(0, |status| status.starts);
    Facts {
        started_s: clock::unix_s(),
        starts: before.saturating_add(1),
        seed: seed.map_or(SeedKind::Weak, |seed| seed.kind),
    }
}

fn vitals(facts: &Facts, maps: &Path) -> Result<Arc<Vitals>, OpenError> {
    let source = Source {
        reasons: KernelReasons::open(maps)?,
        flows: KernelFlows::open(maps)?,
    };
    Ok(Arc::new(Vitals::new(Metrics::new(facts), Some(source))))
}

/// Brings changes into the maps, until the source ends.
async fn sync(
    config: &Config,
    takeover: Takeover,
    seed: Option<Seed>,
    mut changes: mpsc::Receiver<Change>,
    store: KernelStore,
    renamed: impl FnMut(&World, &BTreeSet<Name>),
    report: impl FnMut(Report),
) -> Result<(), StoreError> {
    let settings = |seed| Settings {
        rules: config.rules.clone(),
        ranges: config.ranges(),
        ..Settings::new(
            &config.node_name,
            Node {
                takeover: takeover.number(),
                ..config.node(seed)
            },
        )
    };
    if let Some(seed) = seed {
        return reconcile::run::run(changes, store, settings(&seed), renamed, report).await;
    }
    let (seed, read) = source::weak_seed(&mut changes).await;
    let (sender, forwarded) = mpsc::channel(CHANGES);
    let forward = async move {
        for change in read {
            sender.send(change).await?;
        }
        while let Some(change) = changes.recv().await {
            sender.send(change).await?;
        }
        Ok::<(), mpsc::error::SendError<Change>>(())
    };
    let run = reconcile::run::run(forwarded, store, settings(&seed), renamed, report);
    // If the receiver is gone, its own end says why.
    let (_forwarded, end) = tokio::join!(forward, run);
    end
}
