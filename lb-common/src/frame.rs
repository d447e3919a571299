// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the packet path works on while a packet passes.
//!
//! It is handed in from outside because a BPF program's stack holds 512 bytes: in the kernel the
//! frame lies in a per-CPU map, and stages fill its parts in place instead of returning them.

use crate::conntrack::Target;
use crate::parse::Datagram;
use crate::wire::{Flow, FrontendKey, Reverse, Tuple};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The parts of one packet's passage. Any bytes are a valid start. At most 384 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
pub struct Frame<A> {
    /// The flow that the packet belongs to, as found or as being made.
    pub flow: Flow,
    /// A reverse entry, as found or as being made.
    pub reverse: Reverse,
    /// Where a client's packet goes.
    pub target: Target,
    /// The packet as it came.
    pub datagram: Datagram<A>,
    /// The packet's addresses and ports as it shall leave.
    pub to: Tuple<A>,
    /// What the client dials.
    pub frontend: FrontendKey<A>,
    /// Nothing: the rest begins at a whole word.
    pub pad: [u8; 4],
    /// Key of a reverse entry: what the backend sends.
    pub reverse_key: Tuple<A>,
    /// Key of the flow that a reverse entry belongs to: what its client sends.
    pub owner: Tuple<A>,
}

/// Words of the larger frame: what a per-CPU map must have room for.
pub const FRAME_WORDS: usize = 48;

const _: () = assert!(size_of::<Frame<[u8; 4]>>() <= FRAME_WORDS * 8);
const _: () = assert!(size_of::<Frame<[u8; 16]>>() <= FRAME_WORDS * 8);
