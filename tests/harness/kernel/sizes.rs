// SPDX-License-Identifier: MIT OR Apache-2.0
//! How large the maps of a test are.

/// Entries of `FRAGMENTS`: an LRU map, so far more than tests have datagrams under way.
const FRAGMENTS: u32 = 1024;

/// Entries that the maps have room for.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Of `FLOWS` and of `REVERSE`.
    pub flows: u32,
    /// Of `HALF_OPEN`, of `HALF_REVERSE` and of `TUNNELLED`. The kernel keeps free elements of an
    /// LRU map on each processor, so one that shall evict nothing must be some hundreds larger than
    /// it needs be.
    pub half_open: u32,
    /// Of `AFFINITY`.
    pub affinity: u32,
    /// Of `FOREIGN`.
    pub foreign: u32,
    /// Masquerades, of which `MASKS` holds two halves each.
    pub masks: u32,
    /// Of `FRONTENDS` of each family; there is a chunk of slots for each.
    pub frontends: u32,
    /// Ids of backends are below this.
    pub backends: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            flows: 16,
            half_open: 1024,
            affinity: 4,
            foreign: 4,
            masks: 4,
            frontends: 64,
            backends: 32,
        }
    }
}

impl Sizes {
    /// Names of maps, and their sizes.
    pub(super) fn of_maps(&self) -> [(&'static str, u32); 26] {
        let expiries = 2 * self.flows + self.affinity + self.masks;
        [
            ("FLOWS_V4", self.flows),
            ("FLOWS_V6", self.flows),
            ("REVERSE_V4", self.flows),
            ("REVERSE_V6", self.flows),
            ("AFFINITY_V4", self.affinity),
            ("AFFINITY_V6", self.affinity),
            ("FOREIGN_V4", self.foreign),
            ("FOREIGN_V6", self.foreign),
            ("MASKS_V4", 2 * self.masks),
            ("MASKS_V6", 2 * self.masks),
            ("EXPIRY_V4", expiries),
            ("EXPIRY_V6", expiries),
            ("HALF_OPEN_V4", self.half_open),
            ("HALF_OPEN_V6", self.half_open),
            ("HALF_REVERSE_V4", self.half_open),
            ("HALF_REVERSE_V6", self.half_open),
            ("TUNNELLED_V4", self.half_open),
            ("TUNNELLED_V6", self.half_open),
            ("FRAGMENTS_V4", FRAGMENTS),
            ("FRAGMENTS_V6", FRAGMENTS),
            ("FRONTENDS_V4", self.frontends),
            ("FRONTENDS_V6", self.frontends),
            ("NAMES", self.frontends.max(1_024)),
            ("LONG_NAMES", self.frontends.max(1_024)),
            ("SLOTS", 2 * self.frontends),
            ("BACKENDS", self.backends),
        ]
    }
}
