// SPDX-License-Identifier: MIT OR Apache-2.0
//! `AFFINITY`: which backend a client of a Service's port is pinned to.

use super::seal::sealed;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A client's backend, keyed by [`crate::affinity::write_key`]. 48 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Affinity {
    /// When the client last began a flow, `CLOCK_MONOTONIC`; the value's version.
    pub used_ns: u64,
    /// [`super::fingerprint`] of the key.
    pub identity: u64,
    /// When the entry was made: what ties it to its entry in the sweep's queue.
    pub born_ns: u64,
    /// The backend's epoch.
    pub epoch: u64,
    /// Id of the backend.
    pub backend: u32,
    /// The Service's time-out at that time, in seconds.
    pub timeout_s: u32,
    /// Equal to `used_ns` in a whole value.
    pub used_ns_end: u64,
}

sealed!(Affinity: used_ns, used_ns_end);

const _: () = assert!(size_of::<Affinity>() == 48);
