// SPDX-License-Identifier: MIT OR Apache-2.0
//! `RANGES`: where Services' addresses come from.

use crate::family::WideAddress;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One family's range; the array has IPv4's first, then IPv6's. 32 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Range {
    /// The first address, network order, IPv4 in the first four bytes.
    pub network: WideAddress,
    /// The bits that are alike in all of it; none = there is no range.
    pub mask: WideAddress,
}

impl Range {
    /// Whether an address is in it.
    #[inline(always)]
    pub fn holds(&self, address: &WideAddress) -> bool {
        let network = u128::from_ne_bytes(self.network);
        let mask = u128::from_ne_bytes(self.mask);
        mask != 0 && (u128::from_ne_bytes(*address) ^ network) & mask == 0
    }
}

const _: () = assert!(size_of::<Range>() == 32);
