// SPDX-License-Identifier: MIT OR Apache-2.0
//! The record in words: a line for each stage that the packet has met.

use super::{
    aside::{direct, hairpin, tunnel},
    candidates::{Candidate, candidates},
    outcome::{account, delivery, refuse, rewrite},
    record::{Event, Record},
};
use crate::maps::{Store as _, StoreError, backend_address, backend_state, kernel::KernelStore};
use lb_common::{
    conntrack::{Age, age},
    tables::{Found, InsertError, Stage as Table},
    verdict::Reason,
    wire::{Affinity, Backend, BackendState, Service, Takeover},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _};

/// What a stage has decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// What it found, and what it has decided.
    pub decision: String,
    /// What it had to choose from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
}

/// What people call Services.
pub(super) struct Names(BTreeMap<u32, String>);

impl Names {
    pub(super) fn read(store: &KernelStore) -> Result<Self, StoreError> {
        Ok(Self(store.labels()?.into_iter().collect()))
    }

    fn of(&self, service_id: u32) -> String {
        let label = self.0.get(&service_id).cloned();
        label.unwrap_or_else(|| format!("#{service_id}"))
    }
}

/// All stages.
pub(super) fn tell(record: &Record<'_>, names: &Names, end: Reason, after: &[u8]) -> Vec<Stage> {
    let begins = record.events.iter().position(|event| {
        matches!(
            event,
            Event::Foreign(_) | Event::Affinity(_) | Event::Slot(..)
        )
    });
    let begins = begins.unwrap_or(record.events.len());
    let (first, rest) = record.events.split_at(begins);
    let candidates = candidates(rest);
    let (hairpin, direct) = (hairpin(record, end, after), direct(record, end, after));
    let is_ours = hairpin.is_some() || direct.is_some();
    let flow = flow(if direct.is_some() {
        &record.events
    } else {
        rest
    });
    let lines = [
        ("conntrack", conntrack(record, first, names)),
        ("service", service(record, names)),
        ("admit", admit(record)),
        ("tunnel", tunnel(record)),
        ("foreign", foreign(record, rest, end)),
        ("affinity", affinity(record, rest)),
        ("select", select(&candidates)),
        ("port", port(record, &candidates, end)),
        ("hairpin", hairpin),
        ("direct", direct),
        ("flow", flow),
        ("refuse", refuse(record, end).filter(|_| !is_ours)),
        ("account", account(record, end)),
        ("rewrite", Some(rewrite(record.question, end, after))),
        ("delivery", delivery(record, end).map(str::to_owned)),
    ];
    let stage = |(name, decision): (&'static str, Option<String>)| {
        let candidates = match name {
            "select" => candidates.clone(),
            _ => Vec::new(),
        };
        decision.map(|decision| Stage {
            name,
            decision,
            candidates,
        })
    };
    lines.into_iter().filter_map(stage).collect()
}

const TORN: &str = "it was overwritten while it was read, twice in a row";

fn service(record: &Record<'_>, names: &Names) -> Option<String> {
    let dialled = record.question.dialled();
    let looked = record.events.iter().filter_map(|event| match event {
        Event::Service(frontend, found) if frontend.for_all() == dialled => Some(found),
        _ => None,
    });
    // Everybody's entry, then that of clients from outside, if they have one.
    let found = looked.reduce(|first, next| match next {
        Ok(None) => first,
        _ => next,
    })?;
    Some(match found {
        Err(_torn) => TORN.to_owned(),
        Ok(None) => format!("no Service has {}", record.question.dialled()),
        Ok(Some(service)) => {
            let name = names.of(service.service_id);
            let mut text = match (service.slot_count, service.backend_count) {
                (0, _) if service.flags & Service::ELSEWHERE != 0 => {
                    format!("{name}, which has endpoints, but none for clients of this node")
                }
                (0, _) => format!("{name}, which has no endpoint"),
                (slots, 1) => format!("{name}, 1 backend in {slots} slots"),
                (slots, backends) => format!("{name}, {backends} backends in {slots} slots"),
            };
            if service.affinity_s != 0 {
                let _infallible = write!(text, ", affinity for {} s", service.affinity_s);
            }
            text
        }
    })
}

fn admit(record: &Record<'_>) -> Option<String> {
    let client = record.question.client().ip();
    record.events.iter().find_map(|event| match event {
        Event::Admits(true) => Some(format!("{client} is in a range that the Service lets in")),
        Event::Admits(false) => Some(format!("{client} is in no range that the Service lets in")),
        _ => None,
    })
}

fn conntrack(record: &Record<'_>, first: &[Event], names: &Names) -> Option<String> {
    let ends = record.question.ends();
    let looked = first.iter().filter_map(|event| match event {
        Event::Flow(table, of, found) if *of == ends => Some((*table, found)),
        _ => None,
    });
    // The first is an answer, or the last of two tables has none either.
    let (table, found) = looked.reduce(|first, next| match first {
        (_, Ok(None)) => next,
        _ => first,
    })?;
    let seen = match found {
        Err(_torn) => return Some(TORN.to_owned()),
        Ok(None) => {
            return Some("no flow of these ends, neither established nor half open".to_owned());
        }
        Ok(Some(seen)) => seen,
    };
    let kind = match table {
        Table::HalfOpen => "a half-open flow",
        Table::Established => "an established flow",
    };
    let life = match age(&seen.flow, record.now_ns, &record.node.timeouts) {
        Age::Live => "",
        Age::Tombstone => ", which has ended",
        Age::Gone => ", which is over",
    };
    let state = first.iter().find_map(|event| match event {
        Event::Backend(_, Ok(Some(found))) if found.epoch == seen.flow.epoch => {
            Some(format!(" ({})", backend_state(found.state)))
        }
        Event::Backend(..) => Some(" (gone)".to_owned()),
        _ => None,
    });
    let (of, backend) = (names.of(seen.flow.service_id), seen.backend);
    let state = state.unwrap_or_default();
    Some(format!(
        "{kind} of {of} to {backend}{state}{life}: {}",
        fate(first)
    ))
}

/// What becomes of a flow that was found.
fn fate(first: &[Event]) -> &'static str {
    let made = first.iter().find_map(|event| match event {
        Event::MakeFlow(_, made) => Some(*made),
        _ => None,
    });
    let is_forgotten = first.iter().any(|event| matches!(event, Event::RemoveFlow));
    match made {
        Some(Err(InsertError::Full)) => "both ends have met, but no room for it is left",
        Some(_) => "both ends have met, and it goes on",
        None if is_forgotten => "forgotten",
        None => "goes on",
    }
}

fn foreign(record: &Record<'_>, rest: &[Event], end: Reason) -> Option<String> {
    let found = rest.iter().find_map(|event| match event {
        Event::Foreign(found) => Some(found),
        _ => None,
    })?;
    let known = match found {
        Err(_torn) => return Some(TORN.to_owned()),
        Ok(Some(foreign)) if foreign.has_gone_on != 0 => "netfilter's flow, which has gone on",
        Ok(Some(_)) => "netfilter's flow, of which a SYN was seen",
        Ok(None) => "no flow of netfilter's that we know of",
    };
    let step = match Takeover::from_number(record.node.takeover) {
        Takeover::Observing => "none begins with us yet",
        Takeover::Serving | Takeover::Moving | Takeover::Done => "new ones begin with us",
    };
    let outcome = match end {
        Reason::Foreign | Reason::ForeignUnknown => "left to the host's stack",
        _ => "ours",
    };
    Some(format!("{known}; {step}: {outcome}"))
}

fn affinity(record: &Record<'_>, rest: &[Event]) -> Option<String> {
    let at = rest
        .iter()
        .position(|event| matches!(event, Event::Affinity(_)))?;
    let Some(Event::Affinity(found)) = rest.get(at) else {
        return None;
    };
    let outcome = match (found, rest.get(at.saturating_add(1))) {
        (Err(_torn), _) => TORN.to_owned(),
        (Ok(None), _) => "this client is pinned to no backend yet".to_owned(),
        (Ok(Some(affinity)), Some(Event::Backend(id, found))) => pinned(affinity, *id, *found),
        (Ok(Some(affinity)), _) => {
            let idle_s = record.now_ns.saturating_sub(affinity.used_ns) / 1_000_000_000;
            format!("over: this client has begun no flow for {idle_s} s")
        }
    };
    let kept = rest.iter().find_map(|event| match event {
        Event::MakeAffinity(Err(InsertError::Full)) => Some("; no room to pin it"),
        Event::MakeAffinity(_) | Event::KeepAffinity(true) => Some("; pinned from now on"),
        _ => None,
    });
    Some(outcome + kept.unwrap_or_default())
}

fn pinned(affinity: &Affinity, id: u32, found: Found<Backend>) -> String {
    match found {
        Err(_torn) => TORN.to_owned(),
        Ok(Some(backend)) if backend.epoch == affinity.epoch => {
            let at = backend_address(&backend);
            let state = backend_state(backend.state);
            if BackendState::from_byte(backend.state) == BackendState::Active {
                format!("this client is pinned to {at} ({state})")
            } else {
                format!("this client was pinned to {at}, which takes no new flows ({state})")
            }
        }
        Ok(_) => format!("this client was pinned to backend {id}, which is gone"),
    }
}

fn select(candidates: &[Candidate]) -> Option<String> {
    if candidates.is_empty() {
        return None;
    }
    let chosen = candidates.iter().find(|candidate| candidate.chosen);
    let tried = match candidates.len() {
        1 => "1 choice".to_owned(),
        count => format!("{count} choices"),
    };
    Some(match chosen.and_then(|chosen| chosen.backend.as_ref()) {
        Some(backend) => format!("{backend}, after {tried}"),
        None => format!("none, after {tried}"),
    })
}

fn port(record: &Record<'_>, candidates: &[Candidate], end: Reason) -> Option<String> {
    let own = record.question.client().port();
    if end == Reason::NoPort {
        let others = match record.node.port_count {
            0 => "this node gives out no others".to_owned(),
            _ => "so are the others that were tried".to_owned(),
        };
        return Some(format!("the client's own, {own}, is taken, and {others}"));
    }
    let chosen = candidates.iter().find(|candidate| candidate.chosen)?;
    let port = chosen.source_port?;
    Some(if port == own {
        format!("the client's own, {own}")
    } else {
        format!("{port}: the client's own, {own}, is taken towards each backend tried")
    })
}

fn flow(rest: &[Event]) -> Option<String> {
    rest.iter().find_map(|event| match event {
        Event::MakeFlow(Table::HalfOpen, Ok(())) => Some("begins, half open".to_owned()),
        Event::MakeFlow(Table::Established, Ok(())) => Some("begins".to_owned()),
        Event::MakeFlow(_, Err(InsertError::Full)) => Some("no room for another one".to_owned()),
        Event::MakeFlow(_, Err(InsertError::Taken)) => Some("has begun meanwhile".to_owned()),
        _ => None,
    })
}
