// SPDX-License-Identifier: MIT OR Apache-2.0
//! `MASKS`: who is shown to a backend of another node as this node; see [`crate::masquerade`].

use super::seal::sealed;
use crate::family::WideAddress;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// How many there may be at once, of each family.
pub const MASQUERADES: u32 = 1 << 17;

/// Half of a masquerade, keyed by the [`super::Tuple`] of the packets that it changes: of a
/// client's on their way to the backend, and of the backend's on their way to this node. 48 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Mask {
    /// When it was made, `CLOCK_MONOTONIC`; its version, and what ties both halves.
    pub born_ns: u64,
    /// [`super::fingerprint`] of the key.
    pub identity: u64,
    /// What is put in, network order, IPv4 in the first four bytes: this node's address, or the
    /// client's.
    pub address: WideAddress,
    /// The port that is put in, network order.
    pub port: [u8; 2],
    /// Which end of the packet it is put in as: [`Mask::SOURCE`] or [`Mask::DESTINATION`].
    pub end: u8,
    /// Always zero.
    pub pad: [u8; 5],
    /// Equal to `born_ns` in a whole value.
    pub born_ns_end: u64,
}

impl Mask {
    /// The packet is the client's.
    pub const SOURCE: u8 = 0;
    /// The packet is the backend's.
    pub const DESTINATION: u8 = 1;
}

sealed!(Mask: born_ns, born_ns_end);

const _: () = assert!(size_of::<Mask>() == 48);
