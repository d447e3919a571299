// SPDX-License-Identifier: MIT OR Apache-2.0
//! WATCH: one line of JSON per event, until the time is up.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch as channel},
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    ask::Ask,
    faults::{HalfLine, Strike, Weather, halve},
    objects::{Event, Resource},
    refusal::Refusal,
    selector::fits,
};
use crate::wait;

/// When a client names no time.
const DEFAULT_S: u64 = 1_800;
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Opens a watch.
pub(super) fn answer(shared: &Arc<Shared>, resource: Resource, ask: &Ask) -> Response {
    let from = match ask.version() {
        Ok(from) => from,
        Err(refused) => return refused.into_response(),
    };
    let (lines, body) = mpsc::channel(16);
    let weather = shared.climate.of(resource).subscribe();
    let (faults, struck) = {
        let now = weather.borrow();
        (now.faults.clone(), now.strikes.len())
    };
    let gone_as_status = faults.gone_as_status;
    let stream = Stream {
        shared: shared.clone(),
        resource,
        ask: ask.clone(),
        lines,
        weather,
        struck,
        _open: shared.climate.open(resource).subscribe(),
    };
    let start = stream.start(from, faults.replay);
    match start {
        Err(refusal) if gone_as_status => return refusal.into_response(),
        Err(refusal) => drop(tokio::spawn(async move { stream.error(&refusal).await })),
        Ok((first, at)) => drop(tokio::spawn(async move { stream.run(first, at).await })),
    }
    let body = chunks(body);
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

struct Stream {
    shared: Arc<Shared>,
    resource: Resource,
    ask: Ask,
    lines: mpsc::Sender<io::Result<Bytes>>,
    weather: channel::Receiver<Weather>,
    /// How many strikes are behind it.
    struck: usize,
    _open: channel::Receiver<()>,
}

/// The client has gone, or the stream is to end.
struct Over;

impl Stream {
    /// The lines to begin with, and the version that they lead to.
    fn start(&self, from: Option<u64>, replay: u64) -> Result<(Vec<Value>, u64), Refusal> {
        let objects = self.shared.objects();
        let now = objects.version();
        let earlier = |from: u64| from.saturating_sub(replay).max(objects.oldest()).min(from);
        let from = from.map(earlier);
        if let Some(from) = from.filter(|_| !self.ask.initial_events()) {
            let gone = || {
                let text = format!("too old resource version: {from} ({now})");
                Refusal::expired(&text)
            };
            let known = objects.knows(from);
            return known.then_some((Vec::new(), from)).ok_or_else(gone);
        }
        let listed = objects.at(now, self.resource).unwrap_or_default();
        let fitting = listed
            .iter()
            .filter(|object| fits(self.ask.selector(), object));
        let mut lines: Vec<Value> = fitting.map(|it| self.line("ADDED", it)).collect();
        if self.ask.initial_events() {
            let mut bookmark = self.bookmark(now);
            bookmark["object"]["metadata"]["annotations"] = json!({INITIAL_EVENTS_END: "true"});
            lines.push(bookmark);
        }
        Ok((lines, now))
    }

    async fn run(mut self, first: Vec<Value>, mut at: u64) -> Result<(), Over> {
        let mut version = self.shared.version.subscribe();
        let time = Duration::from_secs(self.ask.timeout_seconds.unwrap_or(DEFAULT_S));
        let end = Instant::now() + time;
        for line in first {
            self.send(&line).await?;
        }
        loop {
            self.obey(at).await?;
            version.borrow_and_update();
            let Some((events, now)) = self.news(at) else {
                // Compacted away while we stalled.
                let gone = "The resourceVersion for the provided watch is too old.";
                return self.error(&Refusal::expired(gone)).await;
            };
            for event in events {
                if let Some(line) = self.event(&event) {
                    self.send(&line).await?;
                }
            }
            // What happened to other resources counts too: the client may skip it.
            at = at.max(now);
            tokio::select! {
                // So that a schedule of a seed is the same each time.
                biased;
                _ = version.changed() => {}
                _ = self.weather.changed() => {}
                () = self.lines.closed() => return Err(Over),
                () = sleep_until(end) => return self.end(at).await,
            }
        }
    }

    /// What has happened after a version, and up to which one.
    fn news(&self, at: u64) -> Option<(Vec<Event>, u64)> {
        let objects = self.shared.objects();
        Some((objects.since(at, self.resource)?, objects.version()))
    }

    /// Waits while the server stalls, and does what strikes say.
    async fn obey(&mut self, at: u64) -> Result<(), Over> {
        let struck = self.struck;
        let clear = |now: &Weather| !now.faults.stall || now.strikes.len() > struck;
        let now = self.weather.wait_for(clear).await;
        let now = now.map_err(|_closed| Over)?.clone();
        if now.faults.end_watches {
            return Err(Over);
        }
        self.struck = now.strikes.len();
        for strike in now.strikes.iter().skip(struck) {
            self.suffer(*strike, at).await?;
        }
        Ok(())
    }

    async fn suffer(&self, strike: Strike, at: u64) -> Result<(), Over> {
        match strike {
            Strike::Bookmark => self.send(&self.bookmark(at)).await,
            Strike::End => Err(Over),
            Strike::Error(code) => {
                self.error(&Refusal::of_code(code, self.resource)).await?;
                Err(Over)
            }
            Strike::BlackHole => self.silence().await,
            Strike::Cut => {
                // An error in a body makes the server close the connection without the last chunk.
                let reset = Err(io::ErrorKind::ConnectionReset.into());
                let _ = self.lines.send(reset).await;
                Err(Over)
            }
        }
    }

    /// Says nothing, for as long as the client listens.
    async fn silence(&self) -> Result<(), Over> {
        self.lines.closed().await;
        Err(Over)
    }

    /// The server tells where the client may go on from, where it wants to know.
    async fn end(&self, at: u64) -> Result<(), Over> {
        if self.ask.bookmarks() {
            self.send(&self.bookmark(at)).await?;
        }
        Err(Over)
    }

    async fn error(&self, refusal: &Refusal) -> Result<(), Over> {
        self.send(&json!({"type": "ERROR", "object": refusal.body()}))
            .await
    }

    /// What a step means to whoever sees only what fits the selector.
    fn event(&self, event: &Event) -> Option<Value> {
        let selector = self.ask.selector();
        let seen =
            |object: &Option<Arc<Value>>| object.clone().filter(|object| fits(selector, object));
        match (seen(&event.before), seen(&event.after)) {
            (None, None) => None,
            (None, Some(after)) => Some(self.line("ADDED", &after)),
            (Some(_), Some(after)) => Some(self.line("MODIFIED", &after)),
            (Some(before), None) => {
                let mut line = self.line("DELETED", &before);
                // The version of the deletion, from which the client goes on.
                line["object"]["metadata"]["resourceVersion"] = event.version.to_string().into();
                Some(line)
            }
        }
    }

    fn line(&self, kind: &str, object: &Value) -> Value {
        let mut object = object.clone();
        object["kind"] = self.resource.kind().into();
        object["apiVersion"] = self.resource.api_version().into();
        json!({"type": kind, "object": object})
    }

    fn bookmark(&self, version: u64) -> Value {
        let empty = match self.resource {
            Resource::Services => json!({"spec": {}, "status": {"loadBalancer": {}}}),
            Resource::EndpointSlices => {
                json!({"addressType": "", "endpoints": null, "ports": null})
            }
            Resource::Nodes => json!({"spec": {}, "status": {
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
                "nodeInfo": {
                    "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "",
                    "osImage": "", "containerRuntimeVersion": "", "kubeletVersion": "",
                    "kubeProxyVersion": "", "operatingSystem": "", "architecture": "",
                },
            }}),
            Resource::Namespaces | Resource::Pods => json!({"spec": {}, "status": {}}),
        };
        let mut line = self.line("BOOKMARK", &empty);
        line["object"]["metadata"] = json!({"resourceVersion": version.to_string()});
        line
    }

    async fn send(&self, line: &Value) -> Result<(), Over> {
        let line = format!("{line}\n");
        let faults = self
            .shared
            .climate
            .of(self.resource)
            .borrow()
            .faults
            .clone();
        if faults.pause > Duration::ZERO {
            wait::pass_on_runtime(faults.pause).await;
        }
        let Some(then) = faults.half_lines else {
            let sent = self.lines.send(Ok(line.into())).await;
            return sent.map_err(|_closed| Over);
        };
        for chunk in halve(&line, then) {
            // Whoever is gone cannot be told.
            let _ = self.lines.send(chunk).await;
        }
        match then {
            HalfLine::Silence => self.silence().await,
            HalfLine::Reset | HalfLine::End => Err(Over),
        }
    }
}

/// A body that sends each line as a chunk of its own, at once.
fn chunks(lines: mpsc::Receiver<io::Result<Bytes>>) -> Body {
    Body::from_stream(futures_util::stream::unfold(lines, async |mut lines| {
        let line = lines.recv().await?;
        Some((line, lines))
    }))
}
