// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a test can make go wrong, for each resource by itself: their streams know nothing of each
//! other, and so they reach a client in any order.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use tokio::sync::watch as channel;

use serde_json::{Value, json};

use super::{Shared, objects::Resource, refusal::Refusal};
use crate::wait;

/// Faults of one resource that last until they are turned off. All are off at first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Answer requests with this HTTP status and a `Status` object.
    pub refuse: Option<u16>,
    /// Say in a refusal when to come again, as header and in the `Status`.
    pub retry_after_s: Option<u32>,
    /// Say nothing at all, in watches that are open too, and keep connections.
    pub stall: bool,
    /// Say 410 as the status of the answer instead of inside the watch: servers do both.
    pub gone_as_status: bool,
    /// End every watch as soon as it is opened.
    pub end_watches: bool,
    /// End each watch in the middle of the next line that it sends.
    pub half_lines: Option<HalfLine>,
    /// Begin each watch so many versions before the one that was asked for.
    pub replay: u64,
    /// Show no more objects than this on a page, whatever was asked for: servers may.
    pub page: Option<usize>,
    /// Answer lists by something that is none of this resource.
    pub no_list: Option<NoList>,
    /// Wait so long before each answer, and before each line of a watch.
    pub pause: Duration,
}

/// What comes in place of a list, both without any object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoList {
    /// A list of another kind.
    OtherKind,
    /// A list that says nothing of its version.
    NoVersion,
}

impl NoList {
    /// Makes it of a list.
    pub(super) fn bend(self, list: &mut Value) {
        list["items"] = json!([]);
        match self {
            Self::OtherKind => list["kind"] = "PodList".into(),
            Self::NoVersion => list["metadata"] = json!({}),
        }
    }
}

/// What follows upon half a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfLine {
    /// The connection is reset.
    Reset,
    /// The answer ends as if it were complete.
    End,
    /// Nothing, and nothing more ever.
    Silence,
}

/// Something that happens once, to the watches of a resource that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// Their connections are reset.
    Cut,
    /// They end, as when their time is up.
    End,
    /// They never say anything again, and stay open: what a client sees of a machine that has
    /// lost its power. New requests are answered.
    BlackHole,
    /// They end with an `ERROR` event of this code.
    Error(u16),
    /// They tell how far they are.
    Bookmark,
}

/// What the streams of one resource look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Weather {
    pub(super) faults: Faults,
    /// All strikes that there have been.
    pub(super) strikes: Vec<Strike>,
}

/// That of all resources.
#[derive(Debug)]
pub(super) struct Climate {
    weather: BTreeMap<Resource, channel::Sender<Weather>>,
    /// Each watch that is open has a receiver.
    open: BTreeMap<Resource, channel::Sender<()>>,
    /// Bearer tokens that are good; `None`: nobody is asked for one.
    tokens: Mutex<Option<Vec<String>>>,
}

impl Default for Climate {
    fn default() -> Self {
        let fair = |resource| (resource, channel::Sender::default());
        let none = |resource| (resource, channel::Sender::default());
        Self {
            weather: Resource::SERVED.map(fair).into(),
            open: Resource::SERVED.map(none).into(),
            tokens: Mutex::default(),
        }
    }
}

impl Climate {
    pub(super) fn of(&self, resource: Resource) -> &channel::Sender<Weather> {
        &self.weather[&resource]
    }

    pub(super) fn open(&self, resource: Resource) -> &channel::Sender<()> {
        &self.open[&resource]
    }

    pub(super) fn accept_tokens(&self, good: Option<Vec<String>>) {
        *self.tokens.lock().unwrap_or_else(PoisonError::into_inner) = good;
    }

    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(good) = &*tokens else {
            return true;
        };
        let shown = headers.get(header::AUTHORIZATION);
        let shown = shown.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        shown.is_some_and(|shown| good.iter().any(|token| token == shown))
    }
}

/// Holds a request back while the server stalls; `Some` when it is refused.
pub(super) async fn before_answer(
    shared: &Arc<Shared>,
    resource: Resource,
    headers: &HeaderMap,
) -> Option<Response> {
    let mut weather = shared.climate.of(resource).subscribe();
    // The sender lives as long as the server.
    let stalled = weather.wait_for(|weather| !weather.faults.stall).await;
    let faults = stalled.ok()?.faults.clone();
    if faults.pause > Duration::ZERO {
        wait::pass_on_runtime(faults.pause).await;
    }
    if !shared.climate.lets_in(headers) {
        return Some(Refusal::of_code(401, resource).into_response());
    }
    let refusal = Refusal::of_code(faults.refuse?, resource);
    Some(refusal.come_again(faults.retry_after_s).into_response())
}

/// The first half of a line, and what follows upon it.
pub(super) fn halve(line: &str, then: HalfLine) -> Vec<io::Result<Bytes>> {
    let half = line.char_indices().nth(line.chars().count() / 2);
    let half = half.map_or("", |(middle, _)| &line[..middle]);
    let mut chunks = vec![Ok(half.to_owned().into())];
    // An error in a body makes the server close the connection without the last chunk.
    if then == HalfLine::Reset {
        chunks.push(Err(io::ErrorKind::ConnectionReset.into()));
    }
    chunks
}
