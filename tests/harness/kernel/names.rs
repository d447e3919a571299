// SPDX-License-Identifier: MIT OR Apache-2.0
//! The maps from which the programs answer questions for names.

use super::maps::{array, map};
use crate::tables::Memory;
use anyhow::Result;
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, RingBuf},
};
use lb_common::wire::{Labels, NameEntry, Resolver};
use lb_userspace::maps::pod::Wire;

/// `NAMES`, `RESOLVER` and `OVERHEARD`.
pub struct NameMaps {
    names: HashMap<MapData, Wire<Labels>, Wire<NameEntry>>,
    resolver: Array<MapData, Wire<Resolver>>,
    overheard: RingBuf<MapData>,
}

impl NameMaps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            names: HashMap::try_from(map(ebpf, "NAMES")?)?,
            resolver: array(ebpf, "RESOLVER")?,
            overheard: map(ebpf, "OVERHEARD")?.try_into()?,
        })
    }

    /// Takes what the agent was shown since the last time.
    pub fn overheard(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(message) = self.overheard.next() {
            all.push(message.to_vec());
        }
        all
    }

    /// Makes them equal to a memory's.
    pub(super) fn copy(&mut self, memory: &Memory) -> Result<()> {
        let old: Vec<_> = self.names.keys().collect::<Result<_, _>>()?;
        for key in old {
            self.names.remove(&key)?;
        }
        for (key, entry) in &memory.names {
            self.names.insert(&Wire(*key), &Wire(*entry), 0)?;
        }
        Ok(self.resolver.set(0, &Wire(memory.resolver), 0)?)
    }
}
