// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ACCOUNT`: what the answers cost that the node itself has given.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Room for the kernel's lock. The kernel finds it by the name `bpf_spin_lock` in the type
/// information (`include/uapi/linux/bpf.h`), hence the spelling; copies read it as zero.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct bpf_spin_lock {
    /// The kernel's.
    pub opaque: u32,
}

/// The node's account, which all processors share; the only element of an array. 24 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Account {
    /// Held while a word changes.
    pub lock: bpf_spin_lock,
    /// Always zero.
    pub pad: u32,
    /// Until when the answers so far have used up the rate, `CLOCK_MONOTONIC`.
    pub paid_until_ns: u64,
    /// Bytes of answers beyond those of the packets that were answered.
    pub owed: u64,
}

const _: () = assert!(size_of::<bpf_spin_lock>() == 4);
const _: () = assert!(size_of::<Account>() == 24);
