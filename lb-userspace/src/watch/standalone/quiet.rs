// SPDX-License-Identifier: MIT OR Apache-2.0
//! When to look at the folders: after a change has settled, and now and then in any case.
//!
//! A file that is being written is left alone until its writer closes it, so that half of it is
//! never taken for all of it. Knows events, not contents.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::mpsc;

use super::files::is_manifest;

/// Nothing may happen for this long before the folders are read.
const QUIET: Duration = Duration::from_millis(30);
/// A writer that keeps its file open, or never stops, is waited for this long.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the kernel's events may be on their way to us.
const DELIVERY: Duration = Duration::from_millis(2);

/// Events of all folders.
pub(super) struct Quiet {
    watcher: RecommendedWatcher,
    events: mpsc::UnboundedReceiver<notify::Result<Event>>,
    /// Changed since they were last read.
    touched: BTreeSet<PathBuf>,
    /// Open for writing, as far as we know.
    written: BTreeSet<PathBuf>,
}

impl Quiet {
    /// Events that got lost (a full queue, a network file system) cost at most this.
    pub(super) const RESCAN: Duration = Duration::from_secs(10);

    /// Watches nothing yet.
    pub(super) fn new() -> notify::Result<Self> {
        let (sender, events) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event| {
            // The receiver is gone only when the watching ends.
            let _ = sender.send(event);
        })?;
        Ok(Self {
            watcher,
            events,
            touched: BTreeSet::new(),
            written: BTreeSet::new(),
        })
    }

    /// Watches a folder, or watches it anew where another one has taken its name.
    pub(super) fn watch(&mut self, folder: &Path) -> notify::Result<()> {
        // Fails where it was not watched, or its watch went with the old folder.
        let _ = self.watcher.unwatch(folder);
        self.watcher.watch(folder, RecursiveMode::NonRecursive)
    }

    /// Waits until it is time to read: files have changed and are at rest, or a rescan is due.
    /// Returns the files that changed; they have to be read whatever their times say.
    pub(super) async fn wait(&mut self) -> BTreeSet<PathBuf> {
        let rescan = tokio::time::sleep(Self::RESCAN);
        tokio::pin!(rescan);
        while self.touched.is_empty() {
            tokio::select! {
                event = self.events.recv() => self.take(event),
                () = &mut rescan => return BTreeSet::new(),
            }
        }
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                event = self.events.recv() => self.take(event),
                () = tokio::time::sleep(QUIET), if self.written.is_empty() => break,
                () = &mut patience => break,
            }
        }
        self.written.clear();
        std::mem::take(&mut self.touched)
    }

    /// Files that somebody wrote to while they were being read: what was read of them is not to be
    /// trusted, and the next [`wait`](Self::wait) names them.
    pub(super) async fn disturbed(&mut self) -> &BTreeSet<PathBuf> {
        tokio::time::sleep(DELIVERY).await;
        while let Ok(event) = self.events.try_recv() {
            self.take(Some(event));
        }
        &self.touched
    }

    fn take(&mut self, event: Option<notify::Result<Event>>) {
        let event = match event {
            Some(Ok(event)) => event,
            Some(Err(error)) => {
                tracing::warn!(%error, "watching folders: an event was lost; rescanning");
                self.touched.insert(PathBuf::new());
                return;
            }
            // Cannot happen while `watcher` lives; never to be busy if it does.
            None => return,
        };
        if event.need_rescan() {
            self.touched.insert(PathBuf::new());
        }
        for path in event.paths.into_iter().filter(|path| matters(path)) {
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_)) => {
                    self.written.insert(path.clone());
                }
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Remove(_)
                | EventKind::Modify(ModifyKind::Name(_)) => {
                    self.written.remove(&path);
                }
                // Reading is no change, and we read ourselves.
                EventKind::Access(_) => continue,
                EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Other => {
                }
            }
            self.touched.insert(path);
        }
    }
}

/// Manifests, and the links called `..data` through which a mounted `ConfigMap` swaps all its
/// files at once.
fn matters(path: &Path) -> bool {
    let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes);
    is_manifest(path) || name.is_some_and(|name| name.starts_with(b".."))
}
