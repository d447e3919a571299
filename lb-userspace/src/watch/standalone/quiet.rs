// SPDX-License-Identifier: MIT OR Apache-2.0
//! When to look at the folders: after a change has settled, and now and then in any case.
//!
//! A file that is being written is left alone until its writer closes it, so that half of it is
//! never taken for all of it. Knows events, not contents.

mod inotify;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::inotify::ReadFlags;
use tokio::time::sleep;

use self::inotify::{Event, Inotify};
use super::files::is_manifest;
use crate::clock;

/// Nothing may happen for this long before the folders are read.
const QUIET: Duration = Duration::from_millis(30);
/// A writer that keeps its file open is waited for this long.
const PATIENCE: Duration = Duration::from_secs(1);
/// A file changes a moment before its event is queued.
const DELIVERY: Duration = Duration::from_millis(2);

/// Events of all folders.
pub(super) struct Quiet {
    inotify: Inotify,
    /// Changed since they were last read. The empty path: something that no path can name.
    touched: BTreeSet<PathBuf>,
    /// Written to and not closed since, and for how long: `CLOCK_MONOTONIC` in nanoseconds. All of
    /// them are in `touched` too.
    written: BTreeMap<PathBuf, u64>,
}

impl Quiet {
    /// Events that got lost (a full queue, a network file system) cost at most this.
    pub(super) const RESCAN: Duration = Duration::from_secs(10);

    /// Watches nothing yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            inotify: Inotify::new()?,
            touched: BTreeSet::new(),
            written: BTreeMap::new(),
        })
    }

    /// Watches a folder, or watches it anew where another one has taken its name.
    pub(super) fn watch(&mut self, folder: &Path) -> io::Result<()> {
        self.inotify.watch(folder)
    }

    /// Waits until it is time to read: files have changed and are at rest, or a rescan is due.
    /// Returns the files that changed; they have to be read whatever their times say.
    pub(super) async fn wait(&mut self) -> BTreeSet<PathBuf> {
        let mut rescan = std::pin::pin!(sleep(Self::RESCAN));
        loop {
            while self.touched.is_empty() {
                tokio::select! {
                    events = self.inotify.wait() => self.take(events),
                    () = &mut rescan => return BTreeSet::new(),
                }
            }
            self.settle().await;
            let ready = self.at_rest();
            if !ready.is_empty() {
                return ready;
            }
        }
    }

    /// Makes the next [`wait`](Self::wait) name a file that has to be looked at again.
    pub(super) fn touch(&mut self, path: PathBuf) {
        self.touched.insert(path);
    }

    /// Files that somebody wrote to before or while they were read: what was read of them is not
    /// to be trusted, and the next [`wait`](Self::wait) names them.
    pub(super) async fn disturbed(&mut self) -> &BTreeSet<PathBuf> {
        sleep(DELIVERY).await;
        let events = self.inotify.drain();
        self.take(events);
        &self.touched
    }

    async fn settle(&mut self) {
        let mut patience = std::pin::pin!(sleep(PATIENCE));
        loop {
            tokio::select! {
                events = self.inotify.wait() => self.take(events),
                () = sleep(QUIET), if self.written.is_empty() => return,
                () = &mut patience => return,
            }
        }
    }

    /// Takes the changed files that nobody is writing, or whose writer has had his time.
    fn at_rest(&mut self) -> BTreeSet<PathBuf> {
        let now_ns = clock::monotonic_ns();
        let hurried =
            |since_ns: u64| Duration::from_nanos(now_ns.saturating_sub(since_ns)) < PATIENCE;
        self.written.retain(|_, since_ns| hurried(*since_ns));
        let touched = std::mem::take(&mut self.touched);
        let (busy, ready) = touched
            .into_iter()
            .partition(|path| self.written.contains_key(path));
        self.touched = busy;
        ready
    }

    fn take(&mut self, events: io::Result<Vec<Event>>) {
        let events = events.unwrap_or_else(|error| {
            tracing::warn!(%error, "events of folders cannot be read; rescanning");
            self.touched.insert(PathBuf::new());
            Vec::new()
        });
        for Event { path, flags } in events {
            let itself = ReadFlags::DELETE_SELF
                | ReadFlags::IGNORED
                | ReadFlags::MOVE_SELF
                | ReadFlags::QUEUE_OVERFLOW
                | ReadFlags::UNMOUNT;
            if flags.intersects(itself) {
                self.touched.insert(PathBuf::new());
                continue;
            }
            if !matters(&path) {
                continue;
            }
            if flags.contains(ReadFlags::MODIFY) {
                let now_ns = clock::monotonic_ns();
                self.written.entry(path.clone()).or_insert(now_ns);
            } else if !flags.intersects(ReadFlags::ATTRIB | ReadFlags::CREATE) {
                // Closed, renamed or deleted.
                self.written.remove(&path);
            }
            self.touched.insert(path);
        }
    }
}

/// Manifests, and the links called `..data` through which a mounted `ConfigMap` swaps all its
/// files at once.
fn matters(path: &Path) -> bool {
    let name = path.file_name().map(OsStr::as_encoded_bytes);
    is_manifest(path) || name.is_some_and(|name| name.starts_with(b".."))
}
