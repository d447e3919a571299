// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the watch side says about itself, for `weiche status` and `status.json`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The kinds of [`Kind`](crate::model::Kind), as Kubernetes spells them.
pub const ALL_KINDS: [&str; 3] = ["EndpointSlice", "Node", "Service"];

/// The watch side's state; a new one is published after each round that changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where objects come from, in words: the folders, or the API server's address.
    pub source: String,
    /// Kinds whose first list is complete, by name (`Service`, `EndpointSlice`, `Node`).
    pub listed: BTreeSet<String>,
    /// Everything that is wrong right now, in a stable order; empty = all is well.
    pub problems: Vec<Problem>,
    /// How many objects of each kind cannot be read; kinds without any are left out.
    #[serde(default)]
    pub unreadable: BTreeMap<String, usize>,
    /// Pods that a Service selects and that serve nothing yet. Standalone mode only.
    pub pending: Vec<Pending>,
}

/// Publishes a state where it differs from the last one, and logs each problem as it appears and
/// as it goes.
pub(super) fn publish(sender: &watch::Sender<Status>, update: impl FnOnce(&mut Status)) {
    sender.send_if_modified(|status| {
        let before = status.clone();
        update(status);
        for problem in &status.problems {
            if !before.problems.contains(problem) {
                tracing::warn!("{problem}");
            }
        }
        for problem in &before.problems {
            if !status.problems.contains(problem) {
                tracing::info!("no longer: {problem}");
            }
        }
        *status != before
    });
}

/// Something that is wrong, where, and why. It harms nothing but what it names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// A file's path, a folder, or a watcher (`services`).
    pub place: String,
    /// The line in that file, from 1; `None` where there is none to point at.
    pub line: Option<u64>,
    /// The object concerned, as `Service default/web`; `None` where none is known.
    pub object: Option<String>,
    /// A sentence: what is wrong, and what is used instead or what to do.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// A Pod that a Service selects and that is no ready endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pending {
    /// `namespace/name` of the Service.
    pub service: String,
    /// Name of the Pod, in the same namespace.
    pub pod: String,
    /// What it lacks, as a sentence.
    pub reason: String,
}
