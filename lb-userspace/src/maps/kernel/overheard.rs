// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ring in which programs show the agent answers of the DNS Service.

use super::{OpenError, open};
use aya::maps::{MapData, RingBuf};
use std::path::Path;

/// `OVERHEARD`.
pub struct KernelOverheard {
    ring: RingBuf<MapData>,
}

impl KernelOverheard {
    /// Opens the map pinned in a folder. Whoever reads there takes away what is read.
    pub fn open(maps: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            ring: open(maps, "OVERHEARD")?,
        })
    }

    /// The next message, or its first bytes.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.ring.next().map(|message| message.to_vec())
    }
}
