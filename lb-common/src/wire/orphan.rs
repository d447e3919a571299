// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ORPHANS`: how flows end that the kernel had no timer for.

use super::Tuple;
use crate::family::Family;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A flow without a timer, in a queue that new flows look through. 24 bytes for IPv4,
/// 48 for IPv6.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
pub struct Orphan<A> {
    /// `Flow::born_ns`, native order: another flow of that key is none of this entry's business.
    pub born_ns: [u8; 8],
    /// The flow's key.
    pub key: Tuple<A>,
}

const _: () = assert!(size_of::<Orphan<<crate::family::V4 as Family>::Address>>() == 24);
const _: () = assert!(size_of::<Orphan<<crate::family::V6 as Family>::Address>>() == 48);
