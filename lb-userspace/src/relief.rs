// SPDX-License-Identifier: MIT OR Apache-2.0
//! Room for new flows before their tables are full: the fuller one is, the sooner what is kept of
//! ended connections goes.
//!
//! A tombstone keeps late segments from leaving untranslated, and holds its flow's place. Without
//! this, 2,200 connections a second that end soon would fill the tables' default size, and new ones
//! would be dropped; netfilter has the same figure, and lets closing entries go early
//! (`nf_conntrack_core.c`, `early_drop`).

use crate::maps::kernel::{KernelStore, OpenError, Usage};
use std::{fmt, path::Path};

/// Up to this share of a table, in percent, a tombstone is kept as long as was asked for.
const EASY: u64 = 50;
/// From this one on it is kept for [`LEAST_NS`].
const FULL: u64 = 90;
/// Late segments come within some round trips.
const LEAST_NS: u64 = 1_000_000_000;

/// Keeps the kernel's time for tombstones as the tables have room for them.
pub struct Relief {
    store: KernelStore,
    asked_ns: u64,
    kept_ns: u64,
    /// How full the fullest table was when it was looked at last, in percent.
    percent: u64,
}

impl Relief {
    /// Over the maps in a folder; what was asked for is in force.
    pub fn new(maps: &Path, asked_ns: u64) -> Result<Self, OpenError> {
        Ok(Self {
            store: KernelStore::open(maps)?,
            asked_ns,
            kept_ns: asked_ns,
            percent: 0,
        })
    }

    /// Takes in how full tables are.
    pub fn look(&mut self, usages: &[Usage]) {
        let percent = fullest(usages);
        let expected = expected(self.percent, percent);
        self.percent = percent;
        let kept_ns = kept_ns(self.asked_ns, expected);
        if let Err(error) = self.store.put_tombstone(kept_ns) {
            tracing::warn!("ended connections are kept as long as before: {error}");
            return;
        }
        self.tell(kept_ns);
        self.kept_ns = kept_ns;
    }

    /// Says when it begins to matter, and when it does no longer.
    fn tell(&self, kept_ns: u64) {
        let is_short = |kept_ns: u64| kept_ns < self.asked_ns / 2;
        let seconds = |ns: u64| ns / 1_000_000_000;
        match (is_short(self.kept_ns), is_short(kept_ns)) {
            (false, true) => tracing::info!(
                "ended connections are kept for {} s instead of {} s, as a table of flows is {} % \
                 full; a larger --flows makes room",
                seconds(kept_ns),
                seconds(self.asked_ns),
                self.percent
            ),
            (true, false) => {
                tracing::info!("ended connections are kept for {} s", seconds(kept_ns));
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Relief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relief")
            .field("kept_ns", &self.kept_ns)
            .finish_non_exhaustive()
    }
}

/// How full the fullest table of established flows is, in percent.
fn fullest(usages: &[Usage]) -> u64 {
    let flows = usages
        .iter()
        .filter(|usage| usage.map.starts_with("flows_"));
    let percent = |usage: &Usage| u64::from(usage.entries) * 100 / u64::from(usage.capacity.max(1));
    flows.map(percent).max().unwrap_or(0)
}

/// How full it will be at the next look, if it goes on like that.
fn expected(last: u64, percent: u64) -> u64 {
    percent + percent.saturating_sub(last)
}

/// How long a tombstone is kept where a table is so full, in percent.
fn kept_ns(asked_ns: u64, percent: u64) -> u64 {
    let room = FULL.saturating_sub(percent).min(FULL - EASY);
    let kept_ns = asked_ns.saturating_mul(room) / (FULL - EASY);
    kept_ns.max(LEAST_NS.min(asked_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_fuller_a_table_the_sooner_tombstones_go() {
        for (asked_s, percent, kept_s) in [
            (60, 0, 60),
            (60, 50, 60),
            (60, 70, 30),
            (60, 90, 1),
            (60, 200, 1),
            (0, 90, 0),
        ] {
            let kept = kept_ns(asked_s * SECOND, percent);
            assert_eq!(kept, kept_s * SECOND, "{asked_s} s at {percent} %");
        }
    }

    #[test]
    fn what_grows_is_taken_for_what_it_becomes() {
        assert_eq!(expected(0, 40), 80);
        assert_eq!(expected(40, 40), 40);
        assert_eq!(expected(90, 30), 30);
    }

    #[test]
    fn the_fullest_table_of_flows_counts() {
        let usage = |map, entries| Usage {
            map,
            entries,
            capacity: 200,
            spare: 0,
        };
        let usages = [
            usage("flows_v4", 20),
            usage("flows_v6", 60),
            usage("affinity_v4", 200),
        ];
        assert_eq!(fullest(&usages), 30);
        assert_eq!(fullest(&[]), 0);
    }
}
