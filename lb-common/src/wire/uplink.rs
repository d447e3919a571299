// SPDX-License-Identifier: MIT OR Apache-2.0
//! `UPLINKS`: the interfaces to other machines, by their index.

use super::seal::sealed;
use crate::family::{Family, V4, WideAddress};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One of them. 64 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Uplink {
    /// Differs from write to write.
    pub version: u64,
    /// [`super::fingerprint`] of the index.
    pub identity: u64,
    /// The address of this node there that others know it by, of IPv4 and of IPv6, network order,
    /// IPv4 in the first four bytes; zeros = it has none.
    pub addresses: [WideAddress; 2],
    /// The station that others send to there.
    pub station: [u8; 6],
    /// Whether frames may be sent out there from where others come in, before the host's stack; 0 =
    /// no.
    pub takes_frames: u8,
    /// Always zero.
    pub pad: u8,
    /// Equal to `version` in a whole value.
    pub version_end: u64,
}

impl Uplink {
    /// The address of a family; none = the node has none there.
    #[inline(always)]
    pub fn address<F: Family>(&self) -> Option<WideAddress> {
        let [v4, v6] = self.addresses;
        let address = if F::ETHERTYPE == V4::ETHERTYPE {
            v4
        } else {
            v6
        };
        (u128::from_ne_bytes(address) != 0).then_some(address)
    }
}

sealed!(Uplink: version, version_end);

const _: () = assert!(size_of::<Uplink>() == 64);
