// SPDX-License-Identifier: MIT OR Apache-2.0
//! `POD_LINKS`: which edges lead into pods, where direct delivery may put packets in at once.

use crate::{causes::with_causes, datapath::maps::POD_LINKS};
use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError},
};
use std::collections::BTreeSet;

/// The map. Without it, as without an entry, packets leave by the link like all others.
#[derive(Debug)]
pub(super) struct PodLinks(Option<HashMap<MapData, u32, u32>>);

impl PodLinks {
    pub(super) fn of(ebpf: &mut Ebpf) -> Self {
        let map = ebpf.take_map(POD_LINKS);
        Self(map.and_then(|map| HashMap::try_from(map).ok()))
    }

    /// Makes it these links.
    pub(super) fn set(&mut self, links: &BTreeSet<u32>) {
        if let Err(error) = self.write(links) {
            tracing::warn!("which links lead into pods: {}", with_causes(&error));
        }
    }

    fn write(&mut self, links: &BTreeSet<u32>) -> Result<(), MapError> {
        let Some(map) = &mut self.0 else {
            return Ok(());
        };
        let known: BTreeSet<u32> = map.keys().collect::<Result<_, _>>()?;
        for gone in known.difference(links) {
            map.remove(gone)?;
        }
        for new in links.difference(&known) {
            map.insert(new, &1, 0)?;
        }
        Ok(())
    }
}
