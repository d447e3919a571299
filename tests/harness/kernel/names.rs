// SPDX-License-Identifier: MIT OR Apache-2.0
//! The maps from which the programs answer questions for names.

use super::maps::{array, map};
use crate::tables::Memory;
use anyhow::Result;
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, RingBuf},
};
use lb_common::wire::{Labels, NameEntry, Resolver, ShortLabels};
use lb_userspace::maps::pod::Wire;

/// `NAMES`, `LONG_NAMES`, `RESOLVER` and `OVERHEARD`.
pub struct NameMaps {
    short: HashMap<MapData, Wire<ShortLabels>, Wire<NameEntry>>,
    long: HashMap<MapData, Wire<Labels>, Wire<NameEntry>>,
    resolver: Array<MapData, Wire<Resolver>>,
    overheard: RingBuf<MapData>,
}

impl NameMaps {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            short: HashMap::try_from(map(ebpf, "NAMES")?)?,
            long: HashMap::try_from(map(ebpf, "LONG_NAMES")?)?,
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
        let old: Vec<_> = self.short.keys().collect::<Result<_, _>>()?;
        for key in old {
            self.short.remove(&key)?;
        }
        let old: Vec<_> = self.long.keys().collect::<Result<_, _>>()?;
        for key in old {
            self.long.remove(&key)?;
        }
        for (key, entry) in &memory.names {
            match key.short() {
                Some(short) => self.short.insert(&Wire(*short), &Wire(*entry), 0)?,
                None => self.long.insert(&Wire(*key), &Wire(*entry), 0)?,
            }
        }
        Ok(self.resolver.set(0, &Wire(memory.resolver), 0)?)
    }
}
