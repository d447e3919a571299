// SPDX-License-Identifier: MIT OR Apache-2.0
//! The differential is worth something: it catches a broken build of each stage.

use crate::{
    differential::differ,
    workshop::{self, Change},
};
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tests::figures;

/// What is broken, and how.
const SABOTAGES: [(&str, Change); 9] = [
    (
        "checksum",
        Change {
            file: "lb-common/src/rewrite.rs",
            sound: "(datagram.transport_at + UDP_CHECKSUM_AT, true)",
            broken: "(datagram.transport_at + UDP_CHECKSUM_AT, false)",
        },
    ),
    (
        "port",
        Change {
            file: "lb-common/src/port.rs",
            sound: ".wrapping_mul(attempt)",
            broken: ".wrapping_mul(attempt.wrapping_add(1))",
        },
    ),
    (
        "state",
        Change {
            file: "lb-common/src/conntrack.rs",
            sound: "client_seen & backend_seen & seen::FIN != 0",
            broken: "(client_seen | backend_seen) & seen::FIN != 0",
        },
    ),
    (
        "reset",
        Change {
            file: "lb-common/src/conntrack/numbers.rs",
            sound: "sequence == other.acknowledged || sequence == own.next",
            broken: "sequence == other.acknowledged || sequence <= own.next",
        },
    ),
    (
        "numbers",
        Change {
            file: "lb-common/src/conntrack/numbers.rs",
            sound: "<= 2 * NEAR",
            broken: "< 2 * NEAR",
        },
    ),
    (
        "time-out",
        Change {
            file: "lb-common/src/conntrack.rs",
            sound: "State::HalfClosed => timeouts.close_wait_ns",
            broken: "State::HalfClosed => timeouts.established_ns",
        },
    ),
    (
        "sweep",
        Change {
            file: "lb-common/src/conntrack/sweep.rs",
            sound: "timeouts) != Age::Gone",
            broken: "timeouts) == Age::Live",
        },
    ),
    (
        "refusal",
        Change {
            file: "lb-common/src/parse.rs",
            sound: ".wrapping_add(has(flags::FIN))",
            broken: ".wrapping_sub(has(flags::FIN))",
        },
    ),
    (
        "hairpin",
        Change {
            file: "lb-common/src/hairpin.rs",
            sound: "frame.to.source = frame.owner.destination;",
            broken: "frame.to.source = frame.owner.source;",
        },
    ),
];

/// Packets after which a broken build must have been caught.
const PACKETS: u64 = 20_000;

#[test]
fn broken_builds_are_caught() {
    figures::check("sabotage", |run| {
        let first = usize::try_from(run.seed)? % SABOTAGES.len();
        let chosen = SABOTAGES
            .iter()
            .cycle()
            .skip(first)
            .take(usize::try_from(run.size)?);
        let caught = chosen.map(|(stage, change)| Ok((*stage, json!(caught(change, run.seed)?))));
        caught.collect()
    });
}

/// Where the differential has found the difference, and in what.
fn caught(change: &Change, seed: u64) -> Result<String> {
    let object =
        workshop::build(&[*change]).with_context(|| format!("breaking {}", change.file))?;
    match differ(&object, PACKETS, seed) {
        Ok(_) => bail!("{change:?} is not caught by {PACKETS} packets"),
        Err(difference) => {
            let root = difference.root_cause().to_string();
            Ok(format!(
                "{difference}: {}",
                root.lines().next().unwrap_or_default()
            ))
        }
    }
}
