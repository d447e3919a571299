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
    faults::Faults,
    list::Ask,
    objects::{Event, Resource},
    refusal::Refusal,
    selector::fits,
};

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
    let mut stream = Stream {
        shared: shared.clone(),
        resource,
        ask: ask.clone(),
        lines,
    };
    let gone_as_status = shared.faults.borrow().gone_as_status;
    let start = stream.start(from);
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
}

/// The client has gone, or the stream is to end.
struct Over;

impl Stream {
    /// The lines to begin with, and the version that they lead to.
    fn start(&mut self, from: Option<u64>) -> Result<(Vec<Value>, u64), Refusal> {
        let objects = self.shared.objects();
        let now = objects.version();
        if let Some(from) = from.filter(|_| !self.ask.initial_events()) {
            let known = objects.since(from, self.resource).is_some();
            let gone = || {
                let text = format!("too old resource version: {from} ({now})");
                Refusal::expired(&text)
            };
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

    async fn run(self, first: Vec<Value>, mut at: u64) -> Result<(), Over> {
        let mut version = self.shared.version.subscribe();
        let mut faults = self.shared.faults.subscribe();
        let cuts = faults.borrow().cuts;
        let time = Duration::from_secs(self.ask.timeout_seconds.unwrap_or(DEFAULT_S));
        let end = Instant::now() + time;
        for line in first {
            self.send(&line).await?;
        }
        loop {
            self.obey(&mut faults, cuts).await?;
            version.borrow_and_update();
            let events = self.shared.objects().since(at, self.resource);
            // Compacted away while we stalled.
            let Some(events) = events else {
                let gone = "The resourceVersion for the provided watch is too old.";
                return self.error(&Refusal::expired(gone)).await;
            };
            for event in events {
                if let Some(line) = self.event(&event) {
                    self.send(&line).await?;
                }
                at = event.version;
            }
            tokio::select! {
                _ = version.changed() => {}
                _ = faults.changed() => {}
                () = self.lines.closed() => return Err(Over),
                () = sleep_until(end) => return self.end(at).await,
            }
        }
    }

    /// Waits while the server stalls, and ends where it is to be cut.
    async fn obey(&self, faults: &mut channel::Receiver<Faults>, cuts: u64) -> Result<(), Over> {
        let stalls = |faults: &Faults| faults.stall && faults.cuts == cuts;
        let now = faults.wait_for(|faults| !stalls(faults)).await;
        let now = now.map_err(|_closed| Over)?.clone();
        if now.end_watches {
            return Err(Over);
        }
        if now.cuts == cuts {
            return Ok(());
        }
        // An error in a body makes the server close the connection without the last chunk.
        let _ = self
            .lines
            .send(Err(io::ErrorKind::ConnectionReset.into()))
            .await;
        Err(Over)
    }

    /// The server tells where the client may go on from, where it wants to know.
    async fn end(&self, at: u64) -> Result<(), Over> {
        if self.ask.bookmarks() {
            // What happened to other resources counts too: the client may skip it.
            let now = self.shared.objects().version().max(at);
            self.send(&self.bookmark(now)).await?;
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
        };
        let mut line = self.line("BOOKMARK", &empty);
        line["object"]["metadata"] = json!({"resourceVersion": version.to_string()});
        line
    }

    async fn send(&self, line: &Value) -> Result<(), Over> {
        let sent = self.lines.send(Ok(format!("{line}\n").into())).await;
        sent.map_err(|_closed| Over)
    }
}

/// A body that sends each line as a chunk of its own, at once.
fn chunks(lines: mpsc::Receiver<io::Result<Bytes>>) -> Body {
    Body::from_stream(futures_util::stream::unfold(lines, async |mut lines| {
        let line = lines.recv().await?;
        Some((line, lines))
    }))
}
