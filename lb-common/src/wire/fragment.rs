// SPDX-License-Identifier: MIT OR Apache-2.0
//! `FRAGMENTS`: what first fragments have shown of the later ones, which have no ports.

use super::seal::sealed;
use crate::family::{Family, WideAddress};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What all fragments of one datagram have in common, as they come. 16 bytes for IPv4, 40 for IPv6.
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
pub struct FragmentKey<A> {
    /// Source address, network order.
    pub source: A,
    /// Destination address, network order.
    pub destination: A,
    /// The sender's number for the datagram; of IPv4's 16 bits the first two bytes are zero.
    pub identification: [u8; 4],
    /// IP protocol number; zero for IPv6, where later fragments need not have it.
    pub protocol: u8,
    /// 0 = from the client's side, 1 = from the backend's: a reply meets ingress as well, at its
    /// backend's edge, where it must not be translated. 2 = of all datagrams of a backend's to one
    /// client: neither number nor protocol.
    pub side: u8,
    /// Always zero.
    pub pad: [u8; 2],
}

/// What becomes of a datagram's fragments. 40 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Fragment {
    /// When the first fragment passed, `CLOCK_MONOTONIC`; the value's version.
    pub learnt_ns: u64,
    /// [`super::fingerprint`] of the key.
    pub identity: u64,
    /// The new destination of a client's fragments, the new source of a backend's, network order,
    /// IPv4 in the first four bytes.
    pub address: WideAddress,
    /// Equal to `learnt_ns` in a whole value.
    pub learnt_ns_end: u64,
}

sealed!(Fragment: learnt_ns, learnt_ns_end);

const _: () = assert!(size_of::<FragmentKey<<crate::family::V4 as Family>::Address>>() == 16);
const _: () = assert!(size_of::<FragmentKey<<crate::family::V6 as Family>::Address>>() == 40);
const _: () = assert!(size_of::<Fragment>() == 40);
