// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the watch side says about itself, for `weiche status` and `status.json`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock;

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
    pub problems: Vec<Noted>,
    /// How many objects of each kind cannot be read; kinds without any are left out.
    #[serde(default)]
    pub unreadable: BTreeMap<String, usize>,
    /// Pods that a Service selects and that serve nothing yet. Standalone mode only.
    pub pending: Vec<Pending>,
}

/// Publishes a state where it differs from the last one, and logs each problem as it appears and
/// as it goes. `problems` are all those of `place`; of the whole source where there is none.
pub(super) fn publish(
    sender: &watch::Sender<Status>,
    place: Option<&str>,
    problems: Vec<Problem>,
    update: impl FnOnce(&mut Status),
) {
    sender.send_if_modified(|status| {
        let before = status.clone();
        update(status);
        let is_elsewhere = |noted: &Noted| place.is_some_and(|place| noted.problem.place != place);
        status.problems.retain(is_elsewhere);
        let known: BTreeMap<_, _> = before.problems.iter().map(Noted::both).collect();
        let now_s = clock::unix_s();
        status.problems.extend(problems.into_iter().map(|problem| {
            let since_s = known.get(&problem).copied();
            if since_s.is_none() {
                tracing::warn!("{problem}");
            }
            let since_s = since_s.unwrap_or(now_s);
            Noted { problem, since_s }
        }));
        status.problems.sort();
        let now: BTreeMap<_, _> = status.problems.iter().map(Noted::both).collect();
        for Noted { problem, .. } in &before.problems {
            if !now.contains_key(problem) {
                tracing::info!("no longer: {problem}");
            }
        }
        *status != before
    });
}

/// A problem, and since when it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Noted {
    /// What is wrong.
    #[serde(flatten)]
    pub problem: Problem,
    /// In seconds since 1970; an agent that starts anew begins anew.
    pub since_s: u64,
}

impl Noted {
    /// One line for people.
    pub fn line(&self, now_s: u64) -> String {
        let Self { problem, since_s } = self;
        format!("{problem} (for {} s)", now_s.saturating_sub(*since_s))
    }

    fn both(&self) -> (&Problem, u64) {
        (&self.problem, self.since_s)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(place: &str, reason: &str) -> Problem {
        Problem {
            place: place.to_owned(),
            line: None,
            object: None,
            reason: reason.to_owned(),
        }
    }

    fn told(sender: &watch::Sender<Status>) -> Vec<(String, u64)> {
        let status = sender.borrow();
        let problems = status.problems.iter();
        problems
            .map(|noted| (noted.problem.to_string(), noted.since_s))
            .collect()
    }

    #[test]
    fn a_problem_keeps_its_time_while_others_come_and_go() {
        let old = |place, reason| Noted {
            problem: problem(place, reason),
            since_s: 7,
        };
        let sender = watch::Sender::new(Status {
            problems: vec![old("a", "stays"), old("a", "goes"), old("b", "of others")],
            ..Status::default()
        });
        let now_s = clock::unix_s();
        let said = vec![problem("a", "new"), problem("a", "stays")];
        publish(&sender, Some("a"), said.clone(), |_| {});
        let first = told(&sender);
        let since = |index: usize| first[index].1;
        let names: Vec<&str> = first.iter().map(|(said, _)| &**said).collect();
        assert_eq!(names, ["a: new", "a: stays", "b: of others"]);
        assert!(since(0) >= now_s, "{first:?}");
        assert_eq!((since(1), since(2)), (7, 7));
        let mut receiver = sender.subscribe();
        publish(&sender, Some("a"), said, |_| {});
        assert!(!receiver.has_changed().unwrap(), "the same is no news");
        receiver.mark_unchanged();
        publish(&sender, None, Vec::new(), |_| {});
        assert_eq!(told(&sender), []);
    }
}
