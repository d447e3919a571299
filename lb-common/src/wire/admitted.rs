// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ADMITTED`: who may dial a Service that says so, by ranges of addresses.

use crate::family::{Family, V4, V6};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What the map compares bit by bit, from the front, as many as an entry says: those of the number,
/// and those of the address that all of a range have. 8 bytes for IPv4, 20 for IPv6.
#[repr(C)]
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
pub struct Admitted<A> {
    /// The Service's number, as in `Service::service_id`, network order.
    pub service_id: [u8; 4],
    /// A client's address, or a range's first, network order.
    pub address: A,
}

impl<A> Admitted<A> {
    /// Bits before those of the address.
    pub const NUMBER_BITS: u32 = 32;
}

const _: () = assert!(size_of::<Admitted<<V4 as Family>::Address>>() == 8);
const _: () = assert!(size_of::<Admitted<<V6 as Family>::Address>>() == 20);
