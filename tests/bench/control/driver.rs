// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's loop in this process, told of changes, and asked how far it is.

use std::{
    cell::{Cell, RefCell},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use lb_common::wire::Node;
use lb_userspace::{
    maps::kernel::KernelStore,
    model::Change,
    reconcile::{Report, Settings, run::run},
};
use tokio::sync::{Notify, mpsc};

use crate::cluster::{Cluster, NODE};

/// As many as the agent's own source may be ahead.
const CHANGES: usize = 1_024;

/// Talks to a running loop.
pub(super) struct Driver<'a> {
    sender: mpsc::Sender<Change>,
    seen: &'a Seen,
    /// Slices told of so far.
    slices: Cell<u64>,
}

/// What the loop has reported.
#[derive(Default)]
struct Seen {
    report: RefCell<Report>,
    /// When the last round ended.
    at: Cell<Option<Instant>>,
    /// How many slices were taken in and written, whenever it was all of them.
    written: Cell<u64>,
    is_new: Notify,
}

impl Seen {
    fn take(&self, report: Report) {
        self.at.set(Some(Instant::now()));
        let [_, slices] = report.changes;
        if report.listed && report.pending == 0 {
            self.written.set(slices);
        }
        self.report.replace(report);
        self.is_new.notify_one();
    }
}

/// Starts the loop over the maps of a folder, lets `work` drive it, and ends it.
pub(super) fn drive<T>(
    maps: &Path,
    work: impl AsyncFnOnce(&Driver<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let store = KernelStore::open(maps)?;
    let node = Node {
        seed: [1, 2],
        ..Node::default()
    };
    let settings = Settings::new(NODE, node);
    let seen = Seen::default();
    let (sender, changes) = mpsc::channel(CHANGES);
    // As the agent's.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build()?.block_on(async {
        let looping = run(
            changes,
            store,
            settings,
            |_, _| {},
            |report| seen.take(report),
        );
        let driving = async {
            let driver = Driver {
                sender,
                seen: &seen,
                slices: Cell::new(0),
            };
            work(&driver).await
        };
        let (looped, driven) = tokio::join!(looping, driving);
        looped?;
        driven
    })
}

impl Driver<'_> {
    /// Tells of a change; whoever is not listened to waits.
    pub(super) async fn tell(&self, change: Change) -> anyhow::Result<()> {
        if matches!(change, Change::Slice(_)) {
            self.slices.set(self.slices.get() + 1);
        }
        self.sender.send(change).await.context("the loop has ended")
    }

    /// Shows a whole cluster; how long it takes from the end of the lists until all is written.
    pub(super) async fn list(&self, cluster: &Cluster) -> anyhow::Result<Duration> {
        for change in cluster.listing() {
            self.tell(change).await?;
        }
        let begin = Instant::now();
        self.written().await?;
        let took = self.since(begin);
        let report = self.seen.report.borrow();
        let programmed = report.services_programmed;
        let failures = &report.failures;
        let all = u32::try_from(programmed)? == cluster.services;
        ensure!(all, "only {programmed} Services are written: {failures:?}");
        Ok(took)
    }

    /// Tells of one change; how long it takes until it is written.
    pub(super) async fn change(&self, change: Change) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        self.tell(change).await?;
        self.written().await?;
        Ok(self.since(begin))
    }

    /// How many of the slices told of are written.
    pub(super) fn slices_written(&self) -> u64 {
        self.seen.written.get()
    }

    /// How many were told of.
    pub(super) fn slices_told(&self) -> u64 {
        self.slices.get()
    }

    /// The next report.
    pub(super) async fn round(&self) {
        self.seen.is_new.notified().await;
    }

    async fn written(&self) -> anyhow::Result<()> {
        while self.slices_written() < self.slices_told() {
            self.round().await;
            let failures = &self.seen.report.borrow().failures;
            ensure!(failures.is_empty(), "{failures:?}");
        }
        Ok(())
    }

    fn since(&self, begin: Instant) -> Duration {
        let end = self.seen.at.get().unwrap_or(begin);
        end.saturating_duration_since(begin)
    }
}
