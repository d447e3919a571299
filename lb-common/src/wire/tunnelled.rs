// SPDX-License-Identifier: MIT OR Apache-2.0
//! `TUNNELLED`: which backend's node a client's packets are sent to as they are; see
//! [`crate::tunnel`].

use super::seal::sealed;
use crate::family::WideAddress;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A flow that another node serves, keyed by the [`super::Tuple`] that the client sends. Nothing in
/// it changes: what becomes of the flow is known where it is served. 56 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Tunnelled {
    /// When it was written, `CLOCK_MONOTONIC`; its version.
    pub since_ns: u64,
    /// [`super::fingerprint`] of the key.
    pub identity: u64,
    /// Epoch of the backend when it was chosen.
    pub epoch: u64,
    /// Its address, narrow ones first: it stays when the backend goes.
    pub address: WideAddress,
    /// Id of the backend.
    pub backend: u32,
    /// A [`crate::tunnel::Format`], as the bit of [`super::Service::flags`].
    pub format: u32,
    /// Equal to `since_ns` in a whole value.
    pub since_ns_end: u64,
}

sealed!(Tunnelled: since_ns, since_ns_end);

const _: () = assert!(size_of::<Tunnelled>() == 56);
