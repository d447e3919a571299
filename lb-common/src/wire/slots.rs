// SPDX-License-Identifier: MIT OR Apache-2.0
//! `SLOTS`: the Maglev tables of all Services, in chunks.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Slots in one chunk. One map element per slot would be padded to 8 bytes and cost a system call
/// each; a chunk of 512 bytes makes 10,000 tables of 1,024 slots cost 40 MB and some 30 ms.
pub const CHUNK_SLOTS: u32 = 128;

#[expect(clippy::as_conversions, reason = "a constant; `From` is not const")]
const LENGTH: usize = CHUNK_SLOTS as usize;

/// One chunk of a Service's table: backend ids. 512 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Chunk {
    /// Index into `BACKENDS` for each slot.
    pub backends: [u32; LENGTH],
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            backends: [0; LENGTH],
        }
    }
}

const _: () = assert!(size_of::<Chunk>() == 512);
