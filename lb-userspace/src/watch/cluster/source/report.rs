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
    /// What is wrong with which object.
    objects: BTreeMap<Name, Said>,
    /// The same of a list that is running: until it is complete, the earlier state counts.
    listing: Option<BTreeMap<Name, Said>>,
    /// Something above is not published yet.
    changed: bool,
}

/// What is wrong with an object.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// All of it.
    Refused(String),
    /// These parts of it, each a sentence.
    Ignored(Vec<String>),
}

impl Report {
    pub(super) fn new(place: &'static str, kind: Kind, status: watch::Sender<Status>) -> Self {
        Self {
            place,
            kind,
            status,
            listed: false,
            trouble: None,
            objects: BTreeMap::new(),
            listing: None,
            changed: false,
        }
    }

    /// A new list begins.
    pub(super) fn listing(&mut self) {
        self.listing = Some(BTreeMap::new());
    }

    /// A list has been complete.
    pub(super) fn listed(&mut self) {
        self.changed |= !self.listed;
        self.listed = true;
        if let Some(objects) = self.listing.take() {
            self.changed |= self.objects != objects;
            self.objects = objects;
        }
    }

    /// What of an object is ignored.
    pub(super) fn object(&mut self, name: Name, reasons: Vec<String>) {
        let said = (!reasons.is_empty()).then_some(Said::Ignored(reasons));
        self.say(name, said);
    }

    /// An object cannot be read.
    pub(super) fn refused(&mut self, name: Option<Name>, why: &str) {
        let reason = match name {
            Some(_) => format!(
                "cannot be read: {why}; what was read of it before stays in force, if anything was"
            ),
            None => format!("cannot be read, nor its name: {why}"),
        };
        let name = name.unwrap_or_else(|| Name::new("", ""));
        self.say(name, Some(Said::Refused(reason)));
    }

    fn say(&mut self, name: Name, said: Option<Said>) {
        let objects = self.listing.as_mut().unwrap_or(&mut self.objects);
        if objects.get(&name) == said.as_ref() {
            return;
        }
        // That of a list is compared when it is complete.
        self.changed |= self.listing.is_none();
        let objects = self.listing.as_mut().unwrap_or(&mut self.objects);
        match said {
            Some(said) => drop(objects.insert(name, said)),
            None => drop(objects.remove(&name)),
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
        let mut refused = 0;
        for (name, said) in &self.objects {
            let object = match self.kind {
                kind if name.name.is_empty() => format!("a {kind:?}"),
                kind @ (Kind::Node | Kind::Namespace) => format!("{kind:?} {}", name.name),
                kind => format!("{kind:?} {name}"),
            };
            let reasons = match said {
                Said::Refused(reason) => {
                    refused += 1;
                    std::slice::from_ref(reason)
                }
                Said::Ignored(reasons) => reasons,
            };
            let reasons = reasons.iter();
            problems.extend(reasons.map(|it| self.problem(Some(object.clone()), it.clone())));
        }
        let kind = format!("{:?}", self.kind);
        status::publish(&self.status, Some(self.place), problems, |status| {
            if refused > 0 {
                status.unreadable.insert(kind.clone(), refused);
            } else {
                status.unreadable.remove(&kind);
            }
            status.listed.extend(self.listed.then_some(kind));
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
