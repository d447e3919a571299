// SPDX-License-Identifier: MIT OR Apache-2.0
//! `EXPIRY`, `SWEEP` and `ROUND`: how flows end, whether an agent lives or not.

use super::Tuple;
use crate::family::Family;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// One established flow, or one affinity, in the queue that the sweep goes through. 24 bytes for
/// IPv4, 48 for IPv6.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
pub struct Expiry<A> {
    /// `Flow::born_ns` or `Affinity::born_ns`, native order: another entry of that key is none of
    /// this one's business.
    pub born_ns: [u8; 8],
    /// The key of the flow or the affinity.
    pub key: Tuple<A>,
}

/// Room for the kernel's timer. The kernel finds it by the name `bpf_timer` in the type
/// information (`include/uapi/linux/bpf.h`), hence the spelling; copies read it as zero.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct bpf_timer {
    /// The kernel's.
    pub opaque: [u64; 2],
}

/// How far the sweep has come in a queue, this time; the only element of an array. 16 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Round {
    /// [`super::fingerprint`] of the first entry that was put back: where it comes again, the
    /// whole queue has been seen.
    pub first: u64,
    /// Entries that were put back.
    pub kept: u32,
    /// Entries that were not.
    pub ended: u32,
}

/// The node's only timer; the only element of an array. 16 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Sweep {
    /// The kernel's; programs may not read it.
    pub timer: bpf_timer,
}

const _: () = assert!(size_of::<Expiry<<crate::family::V4 as Family>::Address>>() == 24);
const _: () = assert!(size_of::<Expiry<<crate::family::V6 as Family>::Address>>() == 48);
const _: () = assert!(size_of::<bpf_timer>() == 16);
const _: () = assert!(size_of::<Round>() == 16);
const _: () = assert!(size_of::<Sweep>() == 16);
