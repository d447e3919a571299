// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which maps there are, and how large they are.

use super::{further::FURTHER, pin::Folder};
use aya::maps::{MapError, MapInfo};
use lb_common::wire::MASQUERADES;

/// Which interfaces lead into pods; the agent fills it while it follows them.
pub(super) const POD_LINKS: &str = "POD_LINKS";

/// Which interfaces lead to other machines; likewise.
pub(super) const UPLINKS: &str = "UPLINKS";

/// What goes along when flows move, since it is of a fixed size: which addresses flows have had,
/// who is shown to backends as this node, and where that is done; which flows other nodes serve,
/// and where nodes are, so that tunnels from there are believed before the agent has listed them.
pub(super) const SHARED: [&str; 9] = [
    "ENDS_V4",
    "ENDS_V6",
    "MASKS_V4",
    "MASKS_V6",
    UPLINKS,
    "TUNNELLED_V4",
    "TUNNELLED_V6",
    "NODES_V4",
    "NODES_V6",
];

/// Sizes that flags set; all in entries, `slots` in chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Frontends of each family, and Services' ports altogether.
    pub frontends: u32,
    /// Backend ids, id 0 included.
    pub backends: u32,
    /// Chunks of slots.
    pub slots: u32,
    /// Flows of each family.
    pub flows: u32,
    /// Half-open flows of each family.
    pub half_open: u32,
    /// Clients of each family that may be pinned to a backend, for each port of a Service.
    pub affinity: u32,
}

/// What decides a map's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sizing {
    Frontends,
    /// Twice the frontends: headless Services and namespaces have names as well.
    Names,
    Backends,
    Slots,
    Flows,
    /// Twice the flows, of which one that is replaced leaves its entry until the sweep meets that,
    /// the affinities and the masquerades.
    Expiries,
    Affinity,
    HalfOpen,
    /// The object itself.
    Fixed,
}

/// Every pinned map, and what decides its size.
pub(super) const MAPS: [(&str, Sizing); 49] = [
    ("FRONTENDS_V4", Sizing::Frontends),
    ("FRONTENDS_V6", Sizing::Frontends),
    ("ADMITTED_V4", Sizing::Fixed),
    ("ADMITTED_V6", Sizing::Fixed),
    ("FLOWS_V4", Sizing::Flows),
    ("FLOWS_V6", Sizing::Flows),
    ("REVERSE_V4", Sizing::Flows),
    ("REVERSE_V6", Sizing::Flows),
    ("HALF_OPEN_V4", Sizing::HalfOpen),
    ("HALF_OPEN_V6", Sizing::HalfOpen),
    ("HALF_REVERSE_V4", Sizing::HalfOpen),
    ("HALF_REVERSE_V6", Sizing::HalfOpen),
    ("AFFINITY_V4", Sizing::Affinity),
    ("AFFINITY_V6", Sizing::Affinity),
    ("FOREIGN_V4", Sizing::Flows),
    ("FOREIGN_V6", Sizing::Flows),
    ("FRAGMENTS_V4", Sizing::Fixed),
    ("FRAGMENTS_V6", Sizing::Fixed),
    ("PATHS_V4", Sizing::Fixed),
    ("PATHS_V6", Sizing::Fixed),
    ("EXPIRY_V4", Sizing::Expiries),
    ("EXPIRY_V6", Sizing::Expiries),
    ("SWEEP", Sizing::Fixed),
    (POD_LINKS, Sizing::Fixed),
    (SHARED[0], Sizing::Fixed),
    (SHARED[1], Sizing::Fixed),
    (SHARED[2], Sizing::Fixed),
    (SHARED[3], Sizing::Fixed),
    (SHARED[4], Sizing::Fixed),
    (SHARED[5], Sizing::Fixed),
    (SHARED[6], Sizing::Fixed),
    (SHARED[7], Sizing::Fixed),
    (SHARED[8], Sizing::Fixed),
    ("ADDRESSES_V4", Sizing::Fixed),
    ("ADDRESSES_V6", Sizing::Fixed),
    ("NAMES", Sizing::Names),
    ("LONG_NAMES", Sizing::Names),
    ("RESOLVER", Sizing::Fixed),
    ("OVERHEARD", Sizing::Fixed),
    (FURTHER, Sizing::Fixed),
    ("SLOTS", Sizing::Slots),
    ("BACKENDS", Sizing::Backends),
    ("LABELS", Sizing::Frontends),
    ("NODE", Sizing::Fixed),
    ("RANGES", Sizing::Fixed),
    ("ACCOUNT", Sizing::Fixed),
    ("TURN", Sizing::Fixed),
    ("COUNTER", Sizing::Fixed),
    ("REASONS", Sizing::Fixed),
];

impl Sizes {
    /// The size of a map; `None` = as the object says.
    pub(super) fn of(&self, sizing: Sizing) -> Option<u32> {
        match sizing {
            Sizing::Frontends => Some(self.frontends),
            Sizing::Names => Some(self.frontends.saturating_mul(2)),
            Sizing::Backends => Some(self.backends),
            Sizing::Slots => Some(self.slots),
            Sizing::Flows => Some(self.flows),
            Sizing::Expiries => {
                let others = self.affinity.saturating_add(MASQUERADES);
                Some(self.flows.saturating_mul(2).saturating_add(others))
            }
            Sizing::Affinity => Some(self.affinity),
            Sizing::HalfOpen => Some(self.half_open),
            Sizing::Fixed => None,
        }
    }

    /// The sizes of the maps pinned in a folder, if all of them are there.
    pub(super) fn read(folder: &Folder) -> Result<Self, MapError> {
        let entries = |name| MapInfo::from_pin(folder.maps().join(name)).map(|i| i.max_entries());
        for (name, _) in MAPS {
            entries(name)?;
        }
        Ok(Self {
            frontends: entries("FRONTENDS_V4")?,
            backends: entries("BACKENDS")?,
            slots: entries("SLOTS")?,
            flows: entries("FLOWS_V4")?,
            half_open: entries("HALF_OPEN_V4")?,
            affinity: entries("AFFINITY_V4")?,
        })
    }
}
