// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading how often packets ended for which reason.

use super::{OpenError, READING, open, refused};
use crate::maps::StoreError;
use aya::maps::{MapData, PerCpuArray};
use std::path::Path;

/// `REASONS`.
pub struct KernelReasons {
    map: PerCpuArray<MapData, u64>,
}

impl KernelReasons {
    /// Opens the map pinned in a folder.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            map: open(maps, "REASONS")?,
        })
    }

    /// The sum over all processors, by index (hook and reason).
    pub fn sums(&self) -> Result<Vec<u64>, StoreError> {
        let sum = |index| {
            let values = self
                .map
                .get(&index, 0)
                .map_err(refused("reasons", READING))?;
            Ok(values
                .iter()
                .fold(0_u64, |sum, value| sum.wrapping_add(*value)))
        };
        (0..self.map.len()).map(sum).collect()
    }
}
