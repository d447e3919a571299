// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which endpoints take new flows: readiness, traffic policy and topology hints.
//!
//! The rules are those that kube-proxy's `topology.go` defines (KEP-1669 terminating, KEP-2086
//! internal policy, KEP-2433 zone hints, KEP-3015 node hints).

use std::{collections::BTreeSet, sync::Arc};

use super::{BackendKey, Set, endpoints::Endpoints};
use crate::model::{Endpoint, NodeFacts, Place};

/// The endpoints that share the slots, in the order of their keys.
pub(super) fn choose(endpoints: &Endpoints<'_>, set: Set, node: &NodeFacts) -> Vec<BackendKey> {
    match set {
        Set::Cluster => {
            let ready: Endpoints<'_> = only(endpoints, |endpoint| endpoint.ready);
            let near = nearest(ready, node);
            // While all are going away, those that still serve are better than none, wherever
            // they are.
            or_terminating(near, endpoints)
        }
        Set::Local => {
            let here = here(endpoints, node);
            or_terminating(only(&here, |endpoint| endpoint.ready), &here)
        }
    }
}

/// Those on this node.
pub(super) fn here<'a>(endpoints: &Endpoints<'a>, node: &NodeFacts) -> Endpoints<'a> {
    only(endpoints, |endpoint| endpoint.is_on(node))
}

/// Hints count only if every ready endpoint has them and one of them names us: then nodes that
/// know them all agree, and nobody is left without an endpoint.
fn nearest<'a>(ready: Endpoints<'a>, node: &NodeFacts) -> Endpoints<'a> {
    let hinted = |hints: fn(&Place) -> &BTreeSet<Arc<str>>, name: &Arc<str>| {
        let mut hinted = ready.values().map(|endpoint| hints(&endpoint.place));
        if hinted.any(BTreeSet::is_empty) {
            return None;
        }
        let ours = only(&ready, |endpoint| hints(&endpoint.place).contains(name));
        (!ours.is_empty()).then_some(ours)
    };
    let near = hinted(|place| &place.hint_nodes, &node.name)
        .or_else(|| hinted(|place| &place.hint_zones, node.zone.as_ref()?));
    near.unwrap_or(ready)
}

fn or_terminating(preferred: Endpoints<'_>, all: &Endpoints<'_>) -> Vec<BackendKey> {
    if !preferred.is_empty() {
        return preferred.into_keys().collect();
    }
    only(all, |endpoint| endpoint.serving && endpoint.terminating)
        .into_keys()
        .collect()
}

fn only<'a>(endpoints: &Endpoints<'a>, test: impl Fn(&Endpoint) -> bool) -> Endpoints<'a> {
    let kept = endpoints.iter().filter(|(_, endpoint)| test(endpoint));
    kept.map(|(key, endpoint)| (*key, *endpoint)).collect()
}

#[cfg(test)]
mod tests;
