// SPDX-License-Identifier: MIT OR Apache-2.0
//! What probes are told, by kube-proxy's rules and in its words (KEP-3836, `proxy_health.go`).
//!
//! A function of what the reconciler said last and of the time; it knows no HTTP.

use crate::reconcile::Report;
use jiff::Timestamp;

/// How long an update may wait for its write: twice kube-proxy's default `syncPeriod`, as there.
const TIMEOUT_NS: u64 = 60_000_000_000;

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Since 1970.
    pub unix_ns: u64,
    /// By [`crate::clock::monotonic_ns`].
    pub monotonic_ns: u64,
}

/// What the answers depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// When the agent started.
    pub started: Moment,
    /// When nothing waited for a write last; none: not yet.
    pub updated: Option<Moment>,
    /// Since when an update waits, by [`crate::clock::monotonic_ns`].
    pub pending_since_ns: Option<u64>,
    /// All links that were there at the start have been seen to. Objects may be listed sooner, and
    /// nothing is translated until then.
    pub attached: bool,
    /// The node is being deleted or about to be.
    pub node_leaving: bool,
}

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// May load balancers send traffic to this node?
    Healthz,
    /// Does the agent do its work? If not, a restart may help.
    Livez,
    /// Has it taken over: are programs attached, and has everything that was listed been written?
    Readyz,
}

/// An answer: 200 or 503, and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no.
    pub healthy: bool,
    /// JSON.
    pub body: String,
}

impl Pulse {
    /// Takes in what the reconciler says after a round.
    pub fn beat(&mut self, report: &Report, now: Moment) {
        self.pending_since_ns = report.pending_since_ns;
        self.node_leaving = report.node_leaving;
        if report.listed && report.pending_since_ns.is_none() {
            self.updated = Some(now);
        }
    }

    /// What a probe is told at a moment.
    pub fn answer(&self, probe: Probe, now: Moment) -> Answer {
        // Whoever has written nothing yet is starting up, which is healthy, but not ready.
        let late = self.pending_since_ns.is_some_and(|since_ns| {
            let waited_ns = now.monotonic_ns.saturating_sub(since_ns);
            self.updated.is_some() && waited_ns >= TIMEOUT_NS
        });
        let healthy = match probe {
            Probe::Healthz => !late && !self.node_leaving,
            Probe::Livez => !late,
            Probe::Readyz => !late && self.attached && self.updated.is_some(),
        };
        // As kube-proxy does: who is healthy is up to date.
        let updated = if healthy { Some(now) } else { self.updated };
        let (updated, current) = (self.stamp(updated), self.stamp(Some(now)));
        let eligible = !self.node_leaving;
        let body = match probe {
            // The blanks are kube-proxy's.
            Probe::Healthz => format!(
                r#"{{"lastUpdated": "{updated}","currentTime": "{current}", "nodeEligible": {eligible}}}"#
            ),
            Probe::Livez | Probe::Readyz => {
                format!(r#"{{"lastUpdated": "{updated}","currentTime": "{current}"}}"#)
            }
        };
        Answer { healthy, body }
    }

    /// A moment as Go prints its times: the wall clock's, and seconds since the process started.
    fn stamp(&self, moment: Option<Moment>) -> String {
        let Some(moment) = moment else {
            // Go's zero time.
            return "0001-01-01 00:00:00 +0000 UTC".to_owned();
        };
        let time = Timestamp::from_nanosecond(i128::from(moment.unix_ns)).unwrap_or_default();
        let since_ns = moment
            .monotonic_ns
            .saturating_sub(self.started.monotonic_ns);
        let (seconds, rest_ns) = (since_ns / 1_000_000_000, since_ns % 1_000_000_000);
        let time = time.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC");
        format!("{time} m=+{seconds}.{rest_ns:09}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(second: u64) -> Moment {
        Moment {
            unix_ns: (1_764_000_000 + second) * SECOND,
            monotonic_ns: (1_000 + second) * SECOND,
        }
    }

    fn report(listed: bool, pending_since: Option<u64>, node_leaving: bool) -> Report {
        Report {
            listed,
            pending_since_ns: pending_since.map(|second| at(second).monotonic_ns),
            node_leaving,
            ..Report::default()
        }
    }

    #[test]
    fn answers_follow_kube_proxy() {
        // What was reported in turn, the time of the question, and healthz, livez, readyz.
        let rows = [
            ("starting", vec![], 100, [true, true, false]),
            (
                "listing",
                vec![report(false, None, false)],
                100,
                [true, true, false],
            ),
            (
                "written",
                vec![report(true, None, false)],
                100,
                [true, true, true],
            ),
            (
                "first write is slow",
                vec![report(true, Some(1), false)],
                100,
                [true, true, false],
            ),
            (
                "an update is on its way",
                vec![report(true, None, false), report(true, Some(10), false)],
                69,
                [true, true, true],
            ),
            (
                "an update is late",
                vec![report(true, None, false), report(true, Some(10), false)],
                70,
                [false, false, false],
            ),
            (
                "the node goes",
                vec![report(true, None, true)],
                100,
                [false, true, true],
            ),
            (
                "the node stays after all",
                vec![report(true, None, true), report(true, None, false)],
                100,
                [true, true, true],
            ),
        ];
        for (what, reports, second, expected) in rows {
            let mut pulse = Pulse {
                started: at(0),
                ..Pulse::default()
            };
            for report in &reports {
                pulse.beat(report, at(5));
            }
            let probes = [Probe::Healthz, Probe::Livez, Probe::Readyz];
            let answers = |pulse: Pulse| probes.map(|it| pulse.answer(it, at(second)).healthy);
            let [healthy, alive, _] = expected;
            let unattached = [healthy, alive, false];
            assert_eq!(answers(pulse), unattached, "{what}, nothing attached");
            pulse.attached = true;
            assert_eq!(answers(pulse), expected, "{what}");
        }
    }

    #[test]
    fn bodies_are_those_of_kube_proxy() {
        let mut pulse = Pulse {
            started: at(0),
            ..Pulse::default()
        };
        pulse.beat(&report(true, None, false), at(2));
        assert_eq!(
            pulse.answer(Probe::Healthz, at(3)).body,
            r#"{"lastUpdated": "2025-11-24 16:00:03 +0000 UTC m=+3.000000000","currentTime": "2025-11-24 16:00:03 +0000 UTC m=+3.000000000", "nodeEligible": true}"#
        );
        pulse.beat(&report(true, Some(4), false), at(4));
        let mut late = at(64);
        late.unix_ns += 120_000_000;
        assert_eq!(
            pulse.answer(Probe::Livez, late).body,
            r#"{"lastUpdated": "2025-11-24 16:00:02 +0000 UTC m=+2.000000000","currentTime": "2025-11-24 16:01:04.12 +0000 UTC m=+64.000000000"}"#
        );
        let leaving = Pulse {
            node_leaving: true,
            ..Pulse::default()
        };
        let body = leaving.answer(Probe::Healthz, at(0)).body;
        assert!(
            body.contains(r#""lastUpdated": "0001-01-01 00:00:00 +0000 UTC""#),
            "{body}"
        );
        assert!(body.ends_with(r#", "nodeEligible": false}"#), "{body}");
        for probe in [Probe::Healthz, Probe::Livez, Probe::Readyz] {
            let body = pulse.answer(probe, at(1)).body;
            serde_json::from_str::<serde_json::Value>(&body).expect("it is JSON");
        }
    }
}
