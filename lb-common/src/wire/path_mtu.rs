// SPDX-License-Identifier: MIT OR Apache-2.0
//! `PATHS`: how long packets to a backend's node may be, where a router on the way has said so; see
//! [`crate::path_mtu`].

use super::seal::sealed;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a router has said of the way to a backend, by whose address it is keyed. 32 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct PathMtu {
    /// When it was written, `CLOCK_MONOTONIC`; its version.
    pub since_ns: u64,
    /// [`super::fingerprint`] of the key.
    pub identity: u64,
    /// The longest IP packet that passes, outer header and all, in bytes.
    pub mtu: u32,
    /// Nothing.
    pub pad: u32,
    /// Equal to `since_ns` in a whole value.
    pub since_ns_end: u64,
}

sealed!(PathMtu: since_ns, since_ns_end);

const _: () = assert!(size_of::<PathMtu>() == 32);
