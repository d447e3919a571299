// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long to wait before the next attempt.

use std::time::Duration;

use lb_common::hash::hash;

const FIRST_MS: u64 = 200;
const LONGEST_MS: u64 = 5_000;

/// Waits that double and are spread, until something succeeds.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    seed: [u64; 2],
    failures: u32,
}

impl Patience {
    /// `node` and `kind` make the spread differ between machines and between sources.
    pub(super) fn new(node: u64, kind: u64) -> Self {
        Self {
            seed: [node, kind],
            failures: 0,
        }
    }

    /// Something went well.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Something failed: wait this long, at least half of what the number of failures says, so
    /// that many nodes do not come back to a server in step.
    pub(super) fn after_failure(&mut self) -> Duration {
        let doubled = FIRST_MS.checked_shl(self.failures).unwrap_or(LONGEST_MS);
        let longest = doubled.min(LONGEST_MS);
        let spread = hash(self.seed, &[u64::from(self.failures)]) % (longest / 2);
        // Enough to stay at the longest, and no shift that loses bits.
        self.failures = (self.failures + 1).min(16);
        Duration::from_millis(longest - spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_are_spread_and_begin_anew() {
        let mut patience = Patience::new(1, 2);
        let waits: Vec<u128> = (0..40)
            .map(|_| patience.after_failure().as_millis())
            .collect();
        for (wait, longest) in waits
            .iter()
            .zip([200, 400, 800, 1_600, 3_200, 5_000, 5_000])
        {
            assert!(
                (longest / 2..=longest).contains(wait),
                "{wait} of {longest}"
            );
        }
        assert!(
            waits[6..].iter().all(|wait| (2_500..=5_000).contains(wait)),
            "{waits:?}"
        );
        let mut other = Patience::new(3, 2);
        assert_ne!(waits[0], other.after_failure().as_millis());
        patience.reset();
        assert_eq!(patience.after_failure().as_millis(), waits[0]);
    }
}
