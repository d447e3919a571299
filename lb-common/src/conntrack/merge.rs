// SPDX-License-Identifier: MIT OR Apache-2.0
//! One flow in two tables, while packets move from the old one to the new one.

use super::{state, timeout_ns};
use crate::wire::{Flow, Timeouts};

/// What `known` has to become once `other`, the same flow in another table, is taken into account;
/// nothing if it knows all that already, or they are different flows of one key.
pub fn merge(
    known: &Flow,
    other: &Flow,
    protocol: u8,
    now_ns: u64,
    timeouts: &Timeouts,
) -> Option<Flow> {
    if known.born_ns != other.born_ns {
        return None;
    }
    let client_seen = known.client_seen | other.client_seen;
    let backend_seen = known.backend_seen | other.backend_seen;
    let merged = state(protocol, client_seen, backend_seen);
    // Whoever knows of a FIN or a RST says when the flow ends; the other one is too late.
    let says = |flow: &&&Flow| state(protocol, flow.client_seen, flow.backend_seen) == merged;
    let expires_ns = [known, other]
        .iter()
        .filter(says)
        .map(|flow| flow.expires_ns)
        .max()
        .unwrap_or_else(|| now_ns.saturating_add(timeout_ns(merged, timeouts)));
    let flow = Flow {
        expires_ns,
        client_seen,
        backend_seen,
        ..*known
    };
    (flow != *known).then_some(flow)
}
