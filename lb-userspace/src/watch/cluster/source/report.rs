// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one source has to say in the status, beside those of the other kinds.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::{
    model::{Kind, Name},
    watch::status::{self, Problem, Status},
};

/// One source's problems.
pub(super) struct Report {
    place: &'static str,
    kind: Kind,
    status: watch::Sender<Status>,
    listed: bool,
    /// Why nothing is heard of the server.
    trouble: Option<String>,
    /// What of which object is ignored, and why.
    ignored: BTreeMap<Name, Vec<String>>,
    /// Something above is not published yet.
    changed: bool,
}

impl Report {
    pub(super) fn new(place: &'static str, kind: Kind, status: watch::Sender<Status>) -> Self {
        Self {
            place,
            kind,
            status,
            listed: false,
            trouble: None,
            ignored: BTreeMap::new(),
            changed: false,
        }
    }

    /// A list has been complete.
    pub(super) fn listed(&mut self) {
        self.changed |= !self.listed;
        self.listed = true;
    }

    /// A new list begins.
    pub(super) fn forget_objects(&mut self) {
        self.changed |= !self.ignored.is_empty();
        self.ignored.clear();
    }

    /// What of an object is ignored.
    pub(super) fn object(&mut self, name: &Name, reasons: Vec<String>) {
        let before = self.ignored.get(name).map_or(&[][..], Vec::as_slice);
        if before == reasons {
            return;
        }
        self.changed = true;
        if reasons.is_empty() {
            self.ignored.remove(name);
        } else {
            self.ignored.insert(name.clone(), reasons);
        }
    }

    /// How it goes with the server. Publishes everything that has gathered.
    pub(super) fn trouble(&mut self, trouble: Option<String>) {
        self.changed |= self.trouble != trouble;
        self.trouble = trouble;
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let mut problems = Vec::new();
        problems.extend(self.trouble.iter().map(|trouble| {
            self.problem(
                None,
                format!("{trouble}. What is known stays in force; trying again"),
            )
        }));
        for (name, reasons) in &self.ignored {
            let object = match self.kind {
                Kind::Node => format!("Node {}", name.name),
                kind => format!("{kind:?} {name}"),
            };
            let said = reasons.iter();
            problems.extend(said.map(|it| self.problem(Some(object.clone()), it.clone())));
        }
        status::publish(&self.status, |status| {
            status
                .problems
                .retain(|problem| problem.place != self.place);
            status.problems.extend(problems);
            status.problems.sort();
            status
                .listed
                .extend(self.listed.then(|| format!("{:?}", self.kind)));
        });
    }

    fn problem(&self, object: Option<String>, reason: String) -> Problem {
        Problem {
            place: self.place.to_owned(),
            line: None,
            object,
            reason,
        }
    }
}
