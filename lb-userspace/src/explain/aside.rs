// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is decided about a pod that reaches itself by way of a Service, about one that is dialled
//! itself beside a flow to it, and about a backend that may be reached by a tunnel.

use super::{
    outcome::ends_now,
    record::{Ends, Event, Record},
};
use crate::{model::Forwarding, plan::forwarding};
use lb_common::verdict::Reason;
use std::net::SocketAddr;

/// That a pod is given itself, or answers itself.
pub(super) fn hairpin(record: &Record<'_>, end: Reason, after: &[u8]) -> Option<String> {
    let [from, to] = ends_now(after)?;
    let [client, dialled] = record.question.ends();
    match end {
        Reason::Forwarded | Reason::Unpinned if to.ip() == client.ip() => {
            let seen = SocketAddr::new(dialled.ip(), from.port());
            Some(format!(
                "the pod is given itself, and sees {seen} as who is calling"
            ))
        }
        Reason::HairpinReplied => {
            let [client, service] = flow(record)?;
            Some(format!(
                "the pod answers itself, in its flow {client} -> {service}: where it leaves the \
                 node, it becomes the reply"
            ))
        }
        _ => None,
    }
}

/// That what begins is for a pod that has a flow from the same client and port already.
pub(super) fn direct(record: &Record<'_>, end: Reason, after: &[u8]) -> Option<String> {
    let is_service = record
        .events
        .iter()
        .any(|event| matches!(event, Event::Service(_, found) if *found != Ok(None)));
    // A flow of its own is no news; this one is found by what the pod would answer.
    let [client, service] = flow(record).filter(|ends| *ends != record.question.ends())?;
    if is_service {
        return None;
    }
    let beside = format!("the pod has the flow {client} -> {service} already, and could not tell");
    match end {
        Reason::Forwarded => {
            let [from, _] = ends_now(after)?;
            Some(format!(
                "{beside} the two apart: it sees port {}",
                from.port()
            ))
        }
        Reason::NoPort => Some(format!("{beside} the two apart")),
        _ => None,
    }
}

/// That the backend's node would get the packet as it is.
pub(super) fn tunnel(record: &Record<'_>) -> Option<String> {
    let dialled = record.question.dialled();
    let flags = record.events.iter().find_map(|event| match event {
        Event::Service(frontend, Ok(Some(service))) if *frontend == dialled => Some(service.flags),
        _ => None,
    });
    let wanted = forwarding::said(flags.filter(|_| record.question.is_from_outside())?);
    (wanted != Forwarding::Snat).then(|| {
        format!(
            "{wanted}: if an uplink leads to the backend, the packet goes to that one's node as it \
             is, in a tunnel; what follows is for all others"
        )
    })
}

/// The flow that was found, as its client sends it.
fn flow(record: &Record<'_>) -> Option<Ends> {
    record.events.iter().find_map(|event| match event {
        Event::Flow(_, ends, Ok(Some(_))) => Some(*ends),
        _ => None,
    })
}
