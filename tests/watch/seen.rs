// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stream of changes as its reader sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use lb_userspace::{
    model::{Change, EndpointSlice, Kind, Name, NodeObject, ServiceObject},
    watch::{Handle, status::Status},
};
use tokio::{sync::mpsc, time::timeout};

/// No change that a test waits for may take longer.
const LIMIT: Duration = Duration::from_secs(10);

/// What has been told so far, by the rules of the stream.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) services: BTreeMap<Name, Arc<ServiceObject>>,
    pub(crate) slices: BTreeMap<Name, Arc<EndpointSlice>>,
    pub(crate) nodes: BTreeMap<Arc<str>, Arc<NodeObject>>,
    pub(crate) namespaces: BTreeSet<Arc<str>>,
    /// How often each kind was listed.
    pub(crate) listed: BTreeMap<Kind, u32>,
    /// Names that a running list has not mentioned.
    unnamed: BTreeMap<Kind, BTreeSet<Name>>,
}

impl Seen {
    /// Whether every kind has been listed.
    pub(crate) fn all_listed(&self) -> bool {
        let kinds = [Kind::Service, Kind::EndpointSlice, Kind::Node];
        kinds.iter().all(|kind| self.listed.contains_key(kind))
    }

    /// Addresses of a Service's ready endpoints, in order.
    pub(crate) fn ready(&self, service: &str) -> Vec<String> {
        let slices = self
            .slices
            .values()
            .filter(|slice| *slice.service == *service);
        let endpoints = slices.flat_map(|slice| &slice.endpoints);
        let ready = endpoints.filter(|endpoint| endpoint.ready);
        let mut ready: Vec<String> = ready.map(|it| it.address.to_string()).collect();
        ready.sort();
        ready
    }

    /// The Cluster-IPs of a Service in `default`.
    pub(crate) fn cluster_ips(&self, service: &str) -> Vec<String> {
        let service = self.services.get(&Name::new("default", service));
        let addresses = service.into_iter().flat_map(|service| &service.cluster_ips);
        addresses.map(ToString::to_string).collect()
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Service(it) => {
                self.named(Kind::Service, &it.name);
                self.services.insert(it.name.clone(), it);
            }
            Change::Slice(it) => {
                self.named(Kind::EndpointSlice, &it.name);
                self.slices.insert(it.name.clone(), it);
            }
            Change::Node(it) => {
                self.named(Kind::Node, &Name::new("", &it.name));
                self.nodes.insert(it.name.clone(), it);
            }
            Change::Namespace(name) => {
                self.named(Kind::Namespace, &Name::new("", &name));
                self.namespaces.insert(name);
            }
            Change::ServiceGone(name) => self.drop(Kind::Service, &name),
            Change::SliceGone(name) => self.drop(Kind::EndpointSlice, &name),
            Change::NodeGone(name) => self.drop(Kind::Node, &Name::new("", &name)),
            Change::NamespaceGone(name) => self.drop(Kind::Namespace, &Name::new("", &name)),
            // No object's: sources of objects do not tell it.
            Change::Addresses(_) => {}
            Change::Unreadable(kind, name) => self.named(kind, &name),
            Change::Listing(kind) => {
                let known = match kind {
                    Kind::Service => self.services.keys().cloned().collect(),
                    Kind::EndpointSlice => self.slices.keys().cloned().collect(),
                    Kind::Node => self.nodes.keys().map(|name| Name::new("", name)).collect(),
                    Kind::Namespace => {
                        let names = self.namespaces.iter();
                        names.map(|name| Name::new("", name)).collect()
                    }
                };
                self.unnamed.insert(kind, known);
            }
            Change::Listed(kind) => {
                for name in self.unnamed.remove(&kind).unwrap_or_default() {
                    self.drop(kind, &name);
                }
                *self.listed.entry(kind).or_default() += 1;
            }
        }
    }

    fn named(&mut self, kind: Kind, name: &Name) {
        if let Some(unnamed) = self.unnamed.get_mut(&kind) {
            unnamed.remove(name);
        }
    }

    fn drop(&mut self, kind: Kind, name: &Name) {
        match kind {
            Kind::Service => drop(self.services.remove(name)),
            Kind::EndpointSlice => drop(self.slices.remove(name)),
            Kind::Node => drop(self.nodes.remove(&name.name)),
            Kind::Namespace => drop(self.namespaces.remove(&name.name)),
        }
    }
}

/// A running source and what it has told.
pub(crate) struct Stream {
    changes: mpsc::Receiver<Change>,
    pub(crate) seen: Seen,
    handle: Handle,
}

impl Stream {
    pub(crate) fn new(changes: mpsc::Receiver<Change>, handle: Handle) -> Self {
        Self {
            changes,
            seen: Seen::default(),
            handle,
        }
    }

    /// Reads changes until what was seen is as wished.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        wish: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<()> {
        let reading = self.until_within(LIMIT, wish).await;
        reading.with_context(|| format!("waited in vain for: {what}"))
    }

    /// The same with a limit of one's own.
    pub(crate) async fn until_within(
        &mut self,
        limit: Duration,
        wish: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<()> {
        let reading = async {
            while !wish(&self.seen) {
                let change = self.changes.recv().await.context("the stream ended")?;
                self.seen.apply(change);
            }
            anyhow::Ok(())
        };
        match timeout(limit, reading).await {
            Ok(read) => read,
            Err(_elapsed) => bail!("status {:#?}; seen {:#?}", self.status(), self.seen),
        }
    }

    /// The changes that come within a time.
    pub(crate) async fn within(&mut self, time: Duration) -> Vec<Change> {
        let mut changes = Vec::new();
        let reading = async {
            while let Some(change) = self.changes.recv().await {
                changes.push(change);
            }
        };
        // Running out of time is what is asked for.
        let _ = timeout(time, reading).await;
        for change in &changes {
            self.seen.apply(change.clone());
        }
        changes
    }

    /// Waits until the status is as wished.
    pub(crate) async fn status_until(
        &mut self,
        what: &str,
        wish: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<()> {
        let waited = self.status_until_within(LIMIT, wish).await;
        waited.with_context(|| format!("waited in vain for: {what}"))
    }

    /// The same with a limit of one's own.
    pub(crate) async fn status_until_within(
        &mut self,
        limit: Duration,
        wish: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<()> {
        let mut status = self.handle.status();
        let waited = timeout(limit, status.wait_for(|status| wish(status))).await;
        let seen = self.status();
        waited.with_context(|| format!("status {seen:#?}"))??;
        Ok(())
    }

    pub(crate) fn status(&self) -> Status {
        self.handle.status().borrow().clone()
    }

    /// Each problem as people read it.
    pub(crate) fn problems(&self) -> Vec<String> {
        let status = self.status();
        let problems = status.problems.iter();
        problems.map(|noted| noted.problem.to_string()).collect()
    }
}
