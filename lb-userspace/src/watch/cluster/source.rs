// SPDX-License-Identifier: MIT OR Apache-2.0
//! One kind of objects, listed and watched for ever.
//!
//! Not `kube::runtime::watcher` (5.0.0), of which four things are in the way: a server that says
//! 410 as the status of a watch is asked for the same version again for ever; the back-off begins
//! anew with every failed list; a watch that ends at once is opened again without a pause; and a
//! connection that is well again cannot be told from one that is not, until an object changes.

mod read;
mod trouble;
mod report;

use std::{fmt::Debug, time::Duration};

use futures_util::StreamExt as _;
use kube::{
    Client, Resource,
    api::{ListParams, ObjectList, Request, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout_at},
};

use self::{read::Read, report::Report, trouble::Trouble};
use super::{door::Door, patience::Patience};
use crate::{
    clock,
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
    pub(super) door: Door,
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) status: watch::Sender<Status>,
    pub(super) seed: u64,
    pub(super) watch_s: u32,
}

/// What is particular to a kind.
pub(super) struct Particulars<K> {
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
        client: told.door.client(),
        requests: Request::new(K::url_path(&(), None)),
        door: told.door,
        report: Report::new(plural, particulars.kind, told.status),
        changes: told.changes.clone(),
        // The kinds are told apart by the lengths of their names.
        patience: Patience::new(told.seed, plural.len().try_into().unwrap_or(0)),
        watch_s: told.watch_s,
        doubted: false,
        particulars,
    };
    tokio::select! {
        biased;
        () = source.follow() => {}
        () = told.changes.closed() => {}
    }
}

struct Source<K> {
    door: Door,
    client: Client,
    requests: Request,
    particulars: Particulars<K>,
    changes: mpsc::Sender<Change>,
    report: Report,
    patience: Patience,
    watch_s: u32,
    /// The server may be another one than before, or an earlier self of it.
    doubted: bool,
}

/// Why a list or a watch ended early.
enum Stop {
    /// Nobody takes changes any more.
    Unheard,
    /// Something failed.
    Failed(Trouble),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(trouble)
    }
}

impl<K: Object> Source<K> {
    async fn follow(&mut self) {
        loop {
            let mut version = match self.list().await {
                Ok(version) => version,
                Err(Stop::Unheard) => return,
                Err(Stop::Failed(trouble)) => {
                    self.wait(trouble).await;
                    continue;
                }
            };
            loop {
                match self.watch(&mut version).await {
                    Ok(()) => {}
                    Err(Stop::Unheard) => return,
                    Err(Stop::Failed(trouble)) => {
                        let lost = trouble.lost;
                        self.wait(trouble).await;
                        if lost {
                            break;
                        }
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
            let page: ObjectList<Read<K>> = self.page(&params).await?;
            let version = version_of(&page)?;
            // Not before the first answer: an attempt that fails changes nothing.
            if !begun {
                begun = true;
                self.report.listing();
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
            self.doubted = false;
            self.report.listed();
            self.well();
            return Ok(version);
        }
    }

    /// Follows changes after `version`, and keeps it; ends well when the server ends the watch.
    async fn watch(&mut self, version: &mut String) -> Result<(), Stop> {
        if self.doubted {
            self.check_version(version).await?;
        }
        let mut params = WatchParams::default().timeout(self.watch_s);
        params.label_selector = self.particulars.label.map(str::to_owned);
        let request = self.requests.watch(&params, version);
        let request = request.map_err(|error| Trouble::from(kube::Error::BuildRequest(error)))?;
        let start = self.client.request_events::<Read<K>>(request);
        let events = self.heard(clock::runtime(), start).await?;
        let events = events.map_err(Trouble::from)?;
        let mut events = std::pin::pin!(events);
        let mut settled = std::pin::pin!(sleep(SETTLED));
        let mut works = false;
        let begun = clock::runtime();
        let mut last = begun;
        loop {
            let event = tokio::select! {
                biased;
                event = self.heard(last, events.next()) => event?,
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
                    last = clock::runtime();
                }
                Some(Err(error)) => return Err(Trouble::from(error).into()),
                None => {
                    // Before its time it ends with its server, or its connection: kube tells a
                    // broken one as an end.
                    self.doubted |= begun.elapsed() + SETTLED < self.watch_time();
                    if works {
                        return Ok(());
                    }
                    // Without a wait, a server that ends every watch at once would be asked
                    // without end.
                    return Err(Trouble::answered("the watch was ended at once").into());
                }
            }
        }
    }

    fn watch_time(&self) -> Duration {
        Duration::from_secs(self.watch_s.into())
    }

    /// Whether the server has reached a version: one that was set back to a copy of earlier days
    /// has not, and would answer a watch from there with silence until it has.
    async fn check_version(&mut self, version: &str) -> Result<(), Stop> {
        let params = ListParams::default().limit(1);
        let list: ObjectList<Read<K>> = self.page(&params).await?;
        let now = list.metadata.resource_version.unwrap_or_default();
        if is_older(&now, version) {
            let text = format!("the server was at version {version} and is at {now}");
            return Err(Trouble::lost(&text).into());
        }
        self.doubted = false;
        Ok(())
    }

    async fn page(&self, params: &ListParams) -> Result<ObjectList<Read<K>>, Trouble> {
        let request = self.requests.list(params);
        let request = request.map_err(|error| Trouble::from(kube::Error::BuildRequest(error)))?;
        let page = self.heard(clock::runtime(), self.client.request(request));
        Ok(page.await??)
    }

    /// Waits until a connection has been silent for too long since `last`.
    async fn heard<T>(&self, last: Instant, answer: impl Future<Output = T>) -> Result<T, Trouble> {
        let silence_s = u64::from(self.watch_s) + MARGIN_S;
        let heard = timeout_at(last + Duration::from_secs(silence_s), answer).await;
        heard.map_err(|_elapsed| Trouble::silent(silence_s))
    }

    async fn event(
        &mut self,
        event: WatchEvent<Read<K>>,
        version: &mut String,
    ) -> Result<(), Stop> {
        let reached = match &event {
            WatchEvent::Added(object)
            | WatchEvent::Modified(object)
            | WatchEvent::Deleted(object) => object.version(),
            WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version.clone()),
            WatchEvent::Error(status) => {
                return Err(Trouble::from(kube::Error::Api(status.clone())).into());
            }
        };
        let reached = reached.filter(|reached| !reached.is_empty());
        if let Some(reached) = &reached
            && is_older(reached, version)
        {
            // A replay, or a server that was set back to an earlier state.
            let text = format!("the watch went back from version {version} to {reached}");
            return Err(Trouble::lost(&text).into());
        }
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.apply(&object).await?;
            }
            WatchEvent::Deleted(object) => {
                let name = object.name();
                // What is known now says who it was.
                let name = name.ok_or_else(|| Trouble::lost("an object without a name went"))?;
                self.report.object(name.clone(), Vec::new());
                self.tell((self.particulars.gone)(name)).await?;
            }
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => {}
        }
        if let Some(reached) = reached {
            *version = reached;
        }
        Ok(())
    }

    async fn apply(&mut self, object: &Read<K>) -> Result<(), Stop> {
        let name = object.name();
        let object = match object {
            Read::Whole(object) => object,
            Read::Refused(refused) => {
                self.report.refused(name.clone(), &refused.why);
                // An operator whose server has learned a new way to say something wants to go on
                // serving what was said before, and to be told.
                return match name {
                    Some(name) => {
                        self.tell(Change::Unreadable(self.particulars.kind, name))
                            .await
                    }
                    None => Ok(()),
                };
            }
        };
        let name = name.unwrap_or_else(|| Name::new("", ""));
        let mut ignored = Vec::new();
        let change = (self.particulars.convert)(object, &mut ignored);
        self.report.object(name.clone(), ignored);
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

    async fn wait(&mut self, trouble: Trouble) {
        let pause = self.patience.after_failure().max(trouble.not_before);
        self.report.trouble(Some(trouble.said));
        sleep(pause).await;
        if trouble.unanswered {
            self.doubted = true;
            self.client = self.door.anew().await;
        }
    }
}

/// Versions are numbers that grow (API concepts, "Resource versions"); others are not compared.
fn is_older(version: &str, than: &str) -> bool {
    let number = |text: &str| text.parse::<u128>().ok();
    number(version)
        .zip(number(than))
        .is_some_and(|(a, b)| a < b)
}

/// The version of a list, if it is one of what was asked for: one of something else would tell
/// that nothing is there.
fn version_of<K: Object>(page: &ObjectList<Read<K>>) -> Result<String, Trouble> {
    let (kind, wanted) = (&page.types.kind, K::kind(&()));
    if kind.strip_suffix("List") != Some(&*wanted) {
        let said = format!("{wanted}List was asked for, {kind:?} came");
        return Err(Trouble::lost(&said));
    }
    let version = page.metadata.resource_version.clone();
    let none = || Trouble::lost("a list came without its version");
    version
        .filter(|version| !version.is_empty())
        .ok_or_else(none)
}
