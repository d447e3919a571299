// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much of the packet path the generated packets have met.

use super::{bend::Bend, script::Packet};
use crate::twin::Outcome;
use anyhow::{Result, ensure};
use lb_common::verdict::Reason;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tests::packet::sums::{Sum, Sums};

/// Counts by what happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    reasons: BTreeMap<(&'static str, Reason), u64>,
    bends: BTreeMap<Bend, u64>,
    /// Frames of which the kernel's test run made no packet.
    refused: u64,
    /// Translated packets whose checksums were right before, and so were right after, and answers.
    checksums_right: u64,
    /// Translated packets of which no checksum could be judged.
    checksums_unknown: u64,
    flows_begun: u64,
    handshakes_completed: u64,
    sweeps: u64,
    flows_swept: u64,
}

/// Reasons that one processor alone cannot meet: another one must be opening the same flow, or the
/// kernel must refuse to change a packet that it has let us read; or that take a routing table.
const OUT_OF_REACH: [Reason; 18] = [
    // What `names::compare` is for.
    Reason::NameFound,
    Reason::NameEmpty,
    Reason::NameUnknown,
    Reason::NameUnanswered,
    Reason::Raced,
    Reason::StoreFailed,
    Reason::ForwardedDirectly,
    Reason::RepliedDirectly,
    Reason::Relayed,
    Reason::RelayedBack,
    // No route of a test run leads anywhere.
    Reason::NoSource,
    Reason::Tunnelled,
    Reason::NoWay,
    Reason::TooLong,
    // What `tunnel` is for.
    Reason::Stranger,
    Reason::Astray,
    Reason::Narrowed,
    Reason::Untunnelled,
];

impl Tally {
    /// Packets that both have run.
    pub(super) fn packets(&self) -> u64 {
        self.reasons.values().sum()
    }

    pub(super) fn count(&mut self, packet: &Packet, outcome: &Outcome, sums: Option<Sums>) {
        let Some(reason) = outcome.reason else {
            self.refused += 1;
            return;
        };
        *self
            .reasons
            .entry((packet.hook.name(), reason))
            .or_default() += 1;
        *self.bends.entry(packet.bend).or_default() += 1;
        match sums.map(|sums| sums.transport) {
            Some(Sum::Right) => self.checksums_right += 1,
            Some(Sum::Unknown) => self.checksums_unknown += 1,
            Some(Sum::Wrong | Sum::Absent) | None => {}
        }
    }

    /// Counts what a packet has done to the numbers of flows, half-open ones and others.
    pub(super) fn count_flows(&mut self, before: [usize; 2], after: [usize; 2]) {
        self.flows_begun += u64::from(after.iter().sum::<usize>() > before.iter().sum());
        self.handshakes_completed += u64::from(after[0] < before[0] && after[1] > before[1]);
    }

    /// Counts a sweep, and the established flows that it has ended.
    pub(super) fn count_sweep(&mut self, before: [usize; 2], after: [usize; 2]) {
        self.sweeps += 1;
        let ended = before[1].saturating_sub(after[1]);
        self.flows_swept += u64::try_from(ended).unwrap_or(u64::MAX);
    }

    /// Whether every reason was met, and often enough to mean something.
    pub(super) fn is_broad(&self) -> Result<()> {
        let least = self.packets() / 20_000;
        for reason in Reason::ALL
            .iter()
            .filter(|reason| !OUT_OF_REACH.contains(reason))
        {
            let met: u64 = ["ingress", "egress", "xdp"]
                .iter()
                .filter_map(|hook| self.reasons.get(&(*hook, *reason)))
                .sum();
            ensure!(
                met > least,
                "{reason:?} was met only {met} times: {:?}",
                self.reasons
            );
        }
        ensure!(
            self.flows_swept > least,
            "only {} flows were swept away",
            self.flows_swept
        );
        Ok(())
    }

    /// The counts for the report.
    pub(super) fn report(self) -> Vec<(&'static str, Value)> {
        let named = |(hook, reason): (&str, Reason)| format!("{hook}/{}", reason.label());
        let reasons: BTreeMap<_, _> = self
            .reasons
            .iter()
            .map(|(key, count)| (named(*key), *count))
            .collect();
        let bends: BTreeMap<_, _> = self
            .bends
            .iter()
            .map(|(bend, count)| (format!("{bend:?}"), *count))
            .collect();
        vec![
            ("packets", json!(self.packets())),
            ("differences", json!(0)),
            ("refused_by_test_run", json!(self.refused)),
            (
                "checksums_right_before_and_after",
                json!(self.checksums_right),
            ),
            ("checksums_not_to_be_judged", json!(self.checksums_unknown)),
            ("flows_begun", json!(self.flows_begun)),
            ("handshakes_completed", json!(self.handshakes_completed)),
            ("sweeps", json!(self.sweeps)),
            ("flows_swept", json!(self.flows_swept)),
            ("reasons", json!(reasons)),
            ("packets_by_kind", json!(bends)),
        ]
    }
}
