// SPDX-License-Identifier: MIT OR Apache-2.0
//! One kind of objects, listed and watched for ever.
//!
//! Not `kube::runtime::watcher` (5.0.0), of which four things are in the way: a server that says
//! 410 as the status of a watch is asked for the same version again for ever; the back-off begins
//! anew with every failed list; a watch that ends at once is opened again without a pause; and a
//! connection that is well again cannot be told from one that is not, until an object changes.

mod report;

use std::{error::Error, fmt::Debug, time::Duration};

use futures_util::StreamExt as _;
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ListParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use self::report::Report;
use super::patience::Patience;
use crate::{
    model::{Change, Kind, Name},
    watch::status::Status,
};

/// How much longer than a watch may last a connection may be silent.
const MARGIN_S: u64 = 5;
/// A watch that has lasted this long works, even when there was nothing to say.
const SETTLED: Duration = Duration::from_secs(1);
/// Objects per page of a list.
const PAGE: u32 = 500;

/// What all sources share.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) status: watch::Sender<Status>,
    pub(super) seed: u64,
    pub(super) watch_s: u32,
}

/// What is particular to a kind.
pub(super) struct Particulars<K> {
    pub(super) api: Api<K>,
    pub(super) kind: Kind,
    /// As the API's paths call it; the place of this source's problems.
    pub(super) plural: &'static str,
    /// A label that an object must have to be of interest.
    pub(super) label: Option<&'static str>,
    /// `None`: it counts as not being there.
    pub(super) convert: fn(&K, &mut Vec<String>) -> Option<Change>,
    pub(super) gone: fn(Name) -> Change,
}

/// What can be listed and watched.
pub(super) trait Object:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static
{
}

/// Follows one kind until nobody takes changes any more.
pub(super) async fn follow<K: Object>(particulars: Particulars<K>, told: Told) {
    let plural = particulars.plural;
    let mut source = Source {
        report: Report::new(plural, particulars.kind, told.status),
        changes: told.changes.clone(),
        // The kinds are told apart by the lengths of their names.
        patience: Patience::new(told.seed, plural.len().try_into().unwrap_or(0)),
        watch_s: told.watch_s,
        particulars,
    };
    tokio::select! {
        () = source.follow() => {}
        () = told.changes.closed() => {}
    }
}

struct Source<K> {
    particulars: Particulars<K>,
    changes: mpsc::Sender<Change>,
    report: Report,
    patience: Patience,
    watch_s: u32,
}

/// Why a list or a watch ended early.
enum Stop {
    /// Nobody takes changes any more.
    Unheard,
    /// Something failed; the version that was reached is still good.
    Failed(String),
    /// Something failed after which only a new list helps.
    Lost(String),
}

impl<K: Object> Source<K> {
    async fn follow(&mut self) {
        loop {
            let mut version = match self.list().await {
                Ok(version) => version,
                Err(Stop::Unheard) => return,
                Err(Stop::Failed(trouble) | Stop::Lost(trouble)) => {
                    self.wait(trouble).await;
                    continue;
                }
            };
            loop {
                match self.watch(&mut version).await {
                    Ok(()) => {}
                    Err(Stop::Unheard) => return,
                    Err(Stop::Failed(trouble)) => self.wait(trouble).await,
                    Err(Stop::Lost(trouble)) => {
                        self.wait(trouble).await;
                        break;
                    }
                }
            }
        }
    }

    /// Lists all objects and returns the version of the list.
    async fn list(&mut self) -> Result<String, Stop> {
        let kind = self.particulars.kind;
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = self.particulars.label.map(str::to_owned);
        let mut begun = false;
        loop {
            let page = self
                .heard(self.particulars.api.list(&params))
                .await?
                .map_err(stop)?;
            // Not before the first answer: an attempt that fails changes nothing.
            if !begun {
                begun = true;
                self.report.forget_objects();
                self.tell(Change::Listing(kind)).await?;
            }
            for object in &page.items {
                self.apply(object).await?;
            }
            let metadata = page.metadata;
            if let Some(token) = metadata.continue_.filter(|token| !token.is_empty()) {
                params = params.continue_token(&token);
                continue;
            }
            self.tell(Change::Listed(kind)).await?;
            self.report.listed();
            self.well();
            let none = || Stop::Lost("a list came without its version".to_owned());
            return metadata.resource_version.ok_or_else(none);
        }
    }

    /// Follows changes after `version`, and keeps it; ends well when the server ends the watch.
    async fn watch(&mut self, version: &mut String) -> Result<(), Stop> {
        let mut params = WatchParams::default().timeout(self.watch_s);
        params.label_selector = self.particulars.label.map(str::to_owned);
        let start = self
            .heard(self.particulars.api.watch(&params, version))
            .await?;
        let events = start.map_err(stop)?;
        let mut events = std::pin::pin!(events);
        let mut settled = std::pin::pin!(sleep(SETTLED));
        let mut works = false;
        loop {
            let event = tokio::select! {
                event = self.heard(events.next()) => event?,
                () = &mut settled, if !works => {
                    works = true;
                    self.well();
                    continue;
                }
            };
            match event {
                Some(Ok(event)) => {
                    self.event(event, version).await?;
                    works = true;
                    self.well();
                }
                Some(Err(error)) => return Err(stop(error)),
                None if works => return Ok(()),
                // Without a wait, a server that ends every watch at once would be asked without
                // end.
                None => return Err(Stop::Failed("the watch was ended at once".to_owned())),
            }
        }
    }

    /// Waits no longer than a connection may be silent.
    async fn heard<T>(&self, answer: impl Future<Output = T>) -> Result<T, Stop> {
        let silence_s = u64::from(self.watch_s) + MARGIN_S;
        let heard = timeout(Duration::from_secs(silence_s), answer).await;
        heard.map_err(|_elapsed| {
            Stop::Failed(format!("the server has been silent for {silence_s} s"))
        })
    }

    async fn event(&mut self, event: WatchEvent<K>, version: &mut String) -> Result<(), Stop> {
        let reached = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.apply(&object).await?;
                object.resource_version()
            }
            WatchEvent::Deleted(object) => {
                let name = name_of(&object);
                self.report.object(&name, Vec::new());
                self.tell((self.particulars.gone)(name)).await?;
                object.resource_version()
            }
            WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version),
            WatchEvent::Error(status) => return Err(stop(kube::Error::Api(status))),
        };
        if let Some(reached) = reached.filter(|reached| !reached.is_empty()) {
            *version = reached;
        }
        Ok(())
    }

    async fn apply(&mut self, object: &K) -> Result<(), Stop> {
        let name = name_of(object);
        let mut ignored = Vec::new();
        let change = (self.particulars.convert)(object, &mut ignored);
        self.report.object(&name, ignored);
        let change = change.unwrap_or_else(|| (self.particulars.gone)(name));
        self.tell(change).await
    }

    async fn tell(&self, change: Change) -> Result<(), Stop> {
        let sent = self.changes.send(change).await;
        sent.map_err(|_closed| Stop::Unheard)
    }

    fn well(&mut self) {
        self.patience.reset();
        self.report.trouble(None);
    }

    async fn wait(&mut self, trouble: String) {
        self.report.trouble(Some(trouble));
        sleep(self.patience.after_failure()).await;
    }
}

fn stop(error: kube::Error) -> Stop {
    let text = chain(&error);
    match error {
        // 410: the version is older than what the server remembers. Servers say it inside a stream
        // or as its status (kubernetes#104171).
        kube::Error::Api(status) if status.code == 410 => Stop::Lost(text),
        // An object that cannot be read may be followed by versions that can, and is not to be
        // skipped: only a list says what is there.
        kube::Error::SerdeError(_) => Stop::Lost(text),
        _ => Stop::Failed(text),
    }
}

/// Namespace and name; the namespace of Nodes is empty.
fn name_of<K: Resource>(object: &K) -> Name {
    let namespace = object.namespace().unwrap_or_default();
    Name::new(&namespace, &object.name_any())
}

/// An error with its causes, none of them said twice.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
