// SPDX-License-Identifier: MIT OR Apache-2.0
//! `SLOTS`: the Maglev tables of all Services, in chunks.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Slots in one chunk. One map element per slot would be padded to 8 bytes and cost a system call
/// each; a chunk of 384 bytes makes 10,000 tables of 1,024 slots cost 31 MB and some 30 ms.
pub const CHUNK_SLOTS: u32 = 128;

#[expect(clippy::as_conversions, reason = "a constant; `From` is not const")]
const LENGTH: usize = CHUNK_SLOTS as usize;

/// A backend's id, the lowest byte first. 3 bytes: slots are most of the memory that Services take,
/// and a fourth byte of each would always be zero.
///
/// It is read byte by byte, so whoever replaces one while it is read may show a mixture of both:
/// chunks in use are never overwritten.
#[repr(transparent)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
pub struct Slot([u8; 3]);

impl Slot {
    /// How many ids there are at most: beyond that, a slot could not name them.
    pub const IDS: u32 = 1 << 24;

    /// The slot that leads to a backend; an id that there cannot be counts as 0, which is nobody's.
    #[inline(always)]
    pub const fn of(id: u32) -> Self {
        match id.to_le_bytes() {
            [low, middle, high, 0] => Self([low, middle, high]),
            _ => Self([0; 3]),
        }
    }

    /// Which backend it leads to.
    #[inline(always)]
    pub const fn id(self) -> u32 {
        let [low, middle, high] = self.0;
        u32::from_le_bytes([low, middle, high, 0])
    }
}

/// One chunk of a Service's table. 384 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
pub struct Chunk {
    /// Index into `BACKENDS` for each slot.
    pub backends: [Slot; LENGTH],
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            backends: [Slot::default(); LENGTH],
        }
    }
}

const _: () = assert!(size_of::<Chunk>() == 384);
