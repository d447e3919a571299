// SPDX-License-Identifier: MIT OR Apache-2.0
//! kube-proxy's limits of tracked connections, as a size of our own table.

use std::thread;

/// kube-proxy's defaults.
const PER_CORE: u32 = 32_768;
const MIN: u32 = 131_072;

/// There, a limit costs nothing; here, memory is taken at once. Who wants more says --flows.
const MOST: u32 = 524_288;

/// What was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenConntrack {
    /// `--conntrack-max-per-core`; 0 = leave it.
    pub max_per_core: Option<u32>,
    /// `--conntrack-min`.
    pub min: Option<u32>,
}

impl GivenConntrack {
    /// How many flows of each family have room.
    pub(super) fn flows(self) -> u32 {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        self.flows_on(u32::try_from(cores).unwrap_or(u32::MAX))
    }

    fn flows_on(self, cores: u32) -> u32 {
        match (self.max_per_core, self.min) {
            (None, None) | (Some(0), _) => MIN,
            (per_core, min) => {
                let all = per_core.unwrap_or(PER_CORE).saturating_mul(cores);
                all.max(min.unwrap_or(MIN)).min(MOST)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_as_kube_proxy_counts_them() {
        for (max_per_core, min, flows) in [
            (None, None, 131_072),
            (Some(0), Some(1), 131_072),
            (Some(65_536), None, 262_144),
            (Some(1), Some(1_000), 1_000),
            (Some(1), None, 131_072),
            (None, Some(200_000), 200_000),
            (Some(1_000_000), None, 524_288),
        ] {
            let given = GivenConntrack { max_per_core, min };
            assert_eq!(given.flows_on(4), flows, "{given:?}");
        }
    }
}
