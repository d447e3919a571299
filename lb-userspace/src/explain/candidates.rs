// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which backends were tried for a new flow, and why each was taken or left.

use super::record::Event;
use crate::maps::{backend_address, backend_state};
use lb_common::{
    tables::{Found, InsertError},
    wire::Backend,
};
use serde::Serialize;

/// One backend with one source port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// The slot that has named it; none: the client is pinned to it.
    pub slot: Option<u32>,
    /// The backend's id.
    pub id: Option<u32>,
    /// Its address and port.
    pub backend: Option<String>,
    /// Its state, as `weiche service get` has it.
    pub state: &'static str,
    /// The source port that it would see.
    pub source_port: Option<u16>,
    /// Whether it got the flow.
    pub chosen: bool,
    /// Why.
    pub decision: String,
}

impl Candidate {
    fn of(slot: Option<u32>, id: Option<u32>, found: Found<Backend>) -> Self {
        let (backend, decision) = match found {
            Ok(Some(backend)) => (Some(backend), "not tried to the end"),
            Ok(None) if id.is_none() => (None, "there is no such slot"),
            Ok(None) => (None, "nobody has this id"),
            Err(_torn) => (None, "it was overwritten while it was read, twice in a row"),
        };
        Self {
            slot,
            id,
            backend: backend.map(|backend| backend_address(&backend).to_string()),
            state: backend.map_or("free", |backend| backend_state(backend.state)),
            source_port: None,
            chosen: false,
            decision: decision.to_owned(),
        }
    }

    fn decide(&mut self, decision: impl Into<String>) {
        self.decision = decision.into();
    }
}

/// All that were tried, in order, from what has happened since the choice began.
pub(super) fn candidates(events: &[Event]) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = Vec::new();
    let mut before = None;
    for event in events {
        match *event {
            Event::Slot(slot, None) => all.push(Candidate::of(Some(slot), None, Ok(None))),
            Event::Backend(id, found) => match before {
                // Whether the client's affinity holds.
                Some(Event::Affinity(_)) => {}
                Some(Event::Slot(slot, _)) => {
                    all.push(Candidate::of(Some(slot), Some(id), found));
                }
                _ => all.push(Candidate::of(None, Some(id), found)),
            },
            _ => {
                if let Some(last) = all.last_mut() {
                    go_on(last, event);
                }
            }
        }
        before = Some(*event);
    }
    all
}

const OVER: &str = "taken: what had the key of its replies is over";

/// What has happened next to a candidate.
fn go_on(last: &mut Candidate, event: &Event) {
    match event {
        Event::Reverse([_, seen], found) => {
            last.source_port = Some(seen.port());
            match found {
                Ok(None) => {}
                Ok(Some(())) => last.decide("its replies would be those of another flow"),
                Err(_torn) => last.decide("the key of its replies was overwritten while read"),
            }
        }
        Event::Flow(_, [client, dialled], Ok(Some(_))) => last.decide(format!(
            "left: its replies would be those of {client} -> {dialled}"
        )),
        Event::RemoveReverse => last.decide(OVER),
        Event::MakeFlow(_, Ok(())) => {
            last.chosen = true;
            if last.decision != OVER {
                last.decide("taken");
            }
        }
        Event::MakeFlow(_, Err(InsertError::Full)) | Event::MakeReverse(Err(_)) => {
            last.chosen = false;
            last.decide("left: there is no room for another flow");
        }
        Event::MakeFlow(_, Err(InsertError::Taken)) => last.decide("left: the flow has begun"),
        _ => {}
    }
}
