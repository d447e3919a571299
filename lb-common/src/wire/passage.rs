// SPDX-License-Identifier: MIT OR Apache-2.0
//! `PASSAGES`: what the host's routing table has said lately; see [`crate::delivery`].

use super::Route;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many each processor remembers, a power of two.
pub const PASSAGES: u32 = 1024;

/// A question to the routing table, and that it was answered. 144 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Passage {
    /// Until when it is believed, `CLOCK_MONOTONIC`.
    pub until_ns: u64,
    /// How a packet gets to its next hop: a [`crate::delivery::Way`], as a number.
    pub way: u32,
    /// Always zero.
    pub pad: u32,
    /// What was asked.
    pub asked: Route,
    /// What was answered.
    pub answered: Route,
}

const _: () = assert!(size_of::<Passage>() == 144);
