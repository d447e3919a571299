// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's middle: the real source of changes and the real loop that writes them, over maps
//! in memory.

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use kube::Client;
use lb_common::wire::Node;
use lb_userspace::{
    maps::{faulty::Faulty, memory::Memory},
    model::Change,
    reconcile::{self, Report},
    watch::{
        Handle,
        cluster::{self, Settings},
        status::Status,
    },
};
use tests::{
    api_server::ApiServer,
    control::{AMPLE, shared::Shared, worlds::NODE},
    wait,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::Pace;

/// Changes that wait for the loop; few, so that it holds the source back.
const CHANGES: usize = 4;

/// A running one; it dies with its value.
pub(super) struct Agent {
    reports: watch::Receiver<Report>,
    status: Arc<Mutex<Status>>,
    trouble: watch::Receiver<Trouble>,
    task: JoinHandle<anyhow::Result<()>>,
    _kubeconfig: Option<tempfile::TempDir>,
}

/// What the status knows of trouble with the server.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    is_there: bool,
    /// When it last was over.
    over: Option<Instant>,
}

impl Agent {
    pub(super) fn start(
        pace: Pace,
        server: &ApiServer,
        store: Shared<Faulty<Memory>>,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let mut settings = Settings {
            jitter_seed: seed,
            watch_s: pace.watch_s,
            ..Settings::default()
        };
        let mut folder = None;
        let way = if pace.http {
            let made = tempfile::tempdir()?;
            let path = made.path().join("kubeconfig");
            fs::write(&path, server.kubeconfig())?;
            settings.kubeconfig = Some(path);
            folder = Some(made);
            None
        } else {
            Some(Client::new(server.service(), "default"))
        };
        let (report, reports) = watch::channel(Report::default());
        let (told_trouble, trouble) = watch::channel(Trouble::default());
        let status = Arc::new(Mutex::default());
        let told = Arc::clone(&status);
        let task = tokio::spawn(async move {
            loop {
                let (handle, changes) = source(way.clone(), &settings).await?;
                let follow = follow(&handle, &told, &told_trouble);
                let settings = reconcile::Settings::new(NODE, Node::default());
                let told = |state| drop(report.send_replace(state));
                let run = reconcile::run::run(changes, store.clone(), settings, |_, _| {}, told);
                tokio::select! {
                    biased;
                    ended = run => if ended.is_ok() {
                        bail!("the source has ended");
                    },
                    () = follow => bail!("the source has ended"),
                }
                // The maps could not be read: whoever started the agent starts it again.
                wait::pass_on_runtime(Duration::from_millis(200)).await;
            }
        });
        Ok(Self {
            reports,
            status,
            trouble,
            task,
            _kubeconfig: folder,
        })
    }

    /// Waits until `right`, and returns since when the last fault was known: `over`, or later.
    pub(super) async fn until(
        &mut self,
        limit: Duration,
        over: Instant,
        right: impl Fn() -> anyhow::Result<bool>,
    ) -> anyhow::Result<Instant> {
        let end = over + limit;
        while !right()? {
            tokio::select! {
                biased;
                changed = self.reports.changed() => changed.context("the agent has ended")?,
                () = sleep_until(end) => bail!("not right {limit:?} after the last fault"),
            }
        }
        let trouble = *self.trouble.borrow();
        let known = if trouble.is_there {
            Some(Instant::now())
        } else {
            trouble.over
        };
        Ok(known.map_or(over, |known| known.max(over)))
    }

    /// Waits until it holds nothing any more, and the maps are `empty`.
    pub(super) async fn until_empty(
        &mut self,
        empty: impl Fn() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let nothing = |report: &Report| {
            report.services_desired == 0
                && report.pending == 0
                && report.failures.is_empty()
                && report.backends_free == AMPLE.backends - 1
                && report.chunks_free == AMPLE.chunks
        };
        while !nothing(&self.report()) || !empty()? {
            let changed = self.reports.changed().await;
            changed.context("the agent has ended")?;
        }
        Ok(())
    }

    pub(super) fn report(&self) -> Report {
        self.reports.borrow().clone()
    }

    pub(super) fn status(&self) -> Status {
        let status = self.status.lock();
        status.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Source = (Handle, mpsc::Receiver<Change>);

async fn source(way: Option<Client>, settings: &Settings) -> anyhow::Result<Source> {
    let (sender, changes) = mpsc::channel(CHANGES);
    let handle = match way {
        Some(client) => cluster::spawn_with(client, settings, sender),
        None => cluster::spawn(settings.clone(), sender).await?,
    };
    Ok((handle, changes))
}

/// Takes down what the status says, and what it knows of trouble.
async fn follow(handle: &Handle, told: &Mutex<Status>, trouble: &watch::Sender<Trouble>) {
    let mut states = handle.status();
    loop {
        let now = states.borrow_and_update().clone();
        let mut problems = now.problems.iter();
        let is_there = problems.any(|it| it.problem.reason.contains("trying again"));
        trouble.send_modify(|known| {
            if known.is_there && !is_there {
                known.over = Some(Instant::now());
            }
            known.is_there = is_there;
        });
        *told.lock().unwrap_or_else(PoisonError::into_inner) = now;
        if states.changed().await.is_err() {
            return;
        }
    }
}
