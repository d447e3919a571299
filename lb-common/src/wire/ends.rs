// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ENDS` and `ADDRESSES`: which addresses flows and Services have had so far; see
//! [`crate::ends`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Pages of the array.
pub const PAGES: u32 = 2048;
/// Spots of a page.
pub const PAGE_SPOTS: u32 = 64;

/// A byte for each spot: 0 = no address that falls on it was ever there. Programs write each byte
/// by itself, and only ever from 0 to 1, so none undoes what another one does.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Page {
    /// The spots.
    pub spots: [u8; 64],
}

const _: () = assert!(size_of::<Page>() == 64);
