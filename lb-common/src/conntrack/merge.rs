// SPDX-License-Identifier: MIT OR Apache-2.0
//! One flow in two tables, while packets move from the old one to the new one.

use super::{numbers::later, state, timeout_ns};
use crate::wire::{Flow, Progress, Timeouts};

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
        client_progress: further(known.client_progress, other.client_progress),
        backend_progress: further(known.backend_progress, other.backend_progress),
        ..*known
    };
    (flow != *known).then_some(flow)
}

/// How far a side has come that is this far in one table and that far in another.
fn further(known: u64, other: u64) -> u64 {
    let (known, other) = (Progress::of_word(known), Progress::of_word(other));
    let further = Progress {
        next: later(known.next, other.next),
        acknowledged: later(known.acknowledged, other.acknowledged),
    };
    further.word()
}
