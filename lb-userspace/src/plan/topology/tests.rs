// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rows of endpoints, and who of them takes new flows.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::choose;
use crate::{
    model::{Endpoint, NodeFacts, Place},
    plan::{BackendKey, Set},
};

/// Endpoints are numbered from 1. Their words: `ready`, `serving`, `terminating`, `here` (on this
/// node), `zone-1` and `node-a` (hints; ours), `zone-2` and `node-b` (hints; theirs).
fn check(what: &str, set: Set, zone: Option<&str>, endpoints: &[&str], chosen: &[u8]) {
    let parsed: Vec<_> = endpoints.iter().map(|words| endpoint(words)).collect();
    let keys = (1_u8..).map(|number| BackendKey {
        address: IpAddr::from([10, 244, 0, number]),
        port: 80,
        protocol: 6,
    });
    let endpoints: BTreeMap<_, _> = keys.clone().zip(&parsed).collect();
    let node = NodeFacts {
        name: "node-a".into(),
        zone: zone.map(Into::into),
        ..NodeFacts::default()
    };
    let found = choose(&endpoints, set, &node);
    let wanted = keys.enumerate();
    let wanted = wanted.filter(|(index, _)| chosen.iter().any(|n| usize::from(*n) == index + 1));
    let wanted: Vec<_> = wanted.take(chosen.len()).map(|(_, key)| key).collect();
    assert_eq!(found, wanted, "{what}");
}

fn endpoint(words: &str) -> Endpoint {
    let has = |word: &str| words.split(' ').any(|known| known == word);
    let hints = |names: [&'static str; 2]| {
        let named = names.into_iter().filter(|name| has(name));
        named.map(Into::into).collect()
    };
    Endpoint {
        address: IpAddr::from([0, 0, 0, 0]),
        ready: has("ready"),
        serving: has("ready") || has("serving"),
        terminating: has("terminating"),
        hostname: None,
        place: Arc::new(Place {
            node: Some(if has("here") { "node-a" } else { "node-b" }.into()),
            zone: None,
            hint_nodes: hints(["node-a", "node-b"]),
            hint_zones: hints(["zone-1", "zone-2"]),
        }),
    }
}

#[test]
fn readiness() {
    let cluster = |what, endpoints: &[&str], chosen: &[u8]| {
        check(what, Set::Cluster, Some("zone-1"), endpoints, chosen);
    };
    cluster("none", &[], &[]);
    cluster("ready ones", &["ready", "", "ready"], &[1, 3]);
    cluster(
        "terminating ones wait",
        &["ready", "serving terminating"],
        &[1],
    );
    cluster(
        "terminating ones when none is ready",
        &["serving terminating", "terminating", "serving"],
        &[1],
    );
    // publishNotReadyAddresses: the controller says ready, and we trust it.
    cluster(
        "ready although terminating",
        &["ready terminating", "ready"],
        &[1, 2],
    );
}

#[test]
fn hints() {
    let cluster = |what, zone, endpoints: &[&str], chosen: &[u8]| {
        check(what, Set::Cluster, zone, endpoints, chosen);
    };
    let zone = Some("zone-1");
    cluster("our zone", zone, &["ready zone-1", "ready zone-2"], &[1]);
    cluster(
        "not all are hinted",
        zone,
        &["ready zone-1", "ready"],
        &[1, 2],
    );
    cluster(
        "none for us",
        zone,
        &["ready zone-2", "ready zone-2"],
        &[1, 2],
    );
    cluster(
        "our zone is unknown",
        None,
        &["ready zone-1", "ready zone-2"],
        &[1, 2],
    );
    cluster(
        "hints of those that are not ready do not count",
        zone,
        &["ready zone-1", "serving terminating", "ready zone-2"],
        &[1],
    );
    cluster(
        "nodes before zones",
        zone,
        &["ready node-a zone-2", "ready node-b zone-1"],
        &[1],
    );
    cluster(
        "zones when no node hint names us",
        zone,
        &["ready node-b zone-2", "ready node-b zone-1"],
        &[2],
    );
    cluster(
        "terminating ones without topology",
        zone,
        &["serving terminating zone-2", "serving terminating zone-1"],
        &[1, 2],
    );
}

#[test]
fn local() {
    let local = |what, endpoints: &[&str], chosen: &[u8]| {
        check(what, Set::Local, Some("zone-1"), endpoints, chosen);
    };
    local("those here", &["ready here", "ready"], &[1]);
    local("none here", &["ready", "ready"], &[]);
    local(
        "terminating ones here rather than ready ones elsewhere",
        &["serving terminating here", "ready"],
        &[1],
    );
    local(
        "hints do not matter",
        &["ready here zone-2", "ready zone-1"],
        &[1],
    );
}
