// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's `UPLINKS`.

use super::maps::map;
use crate::tables::Memory;
use anyhow::Result;
use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError},
};
use lb_common::wire::Uplink;
use lb_userspace::maps::pod::Wire;

/// The map.
pub(super) struct Uplinks(HashMap<MapData, u32, Wire<Uplink>>);

impl Uplinks {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self(map(ebpf, "UPLINKS")?.try_into()?))
    }

    /// Makes it equal to a memory's.
    pub(super) fn copy(&mut self, memory: &Memory) -> Result<()> {
        let known: Vec<u32> = self.0.keys().collect::<Result<_, MapError>>()?;
        for ifindex in &known {
            self.0.remove(ifindex)?;
        }
        for (ifindex, uplink) in &memory.uplinks {
            self.0.insert(ifindex, &Wire(*uplink), 0)?;
        }
        Ok(())
    }
}
