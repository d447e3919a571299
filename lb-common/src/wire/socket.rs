// SPDX-License-Identifier: MIT OR Apache-2.0
//! `struct bpf_sock_tuple` of `uapi/linux/bpf.h`: how the host is asked for its sockets.

use crate::wire::Tuple;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Ends of a packet that a socket might get, network order. 12 bytes for IPv4, 36 for IPv6, by
/// which the kernel tells them apart.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
pub struct SocketEnds<A> {
    /// Who has sent it.
    pub source: A,
    /// This host's address.
    pub destination: A,
    /// The sender's port.
    pub source_port: [u8; 2],
    /// This host's.
    pub destination_port: [u8; 2],
}

impl<A: Copy> SocketEnds<A> {
    /// Those of a tuple.
    #[inline(always)]
    pub fn of(tuple: &Tuple<A>) -> Self {
        Self {
            source: tuple.source,
            destination: tuple.destination,
            source_port: tuple.source_port,
            destination_port: tuple.destination_port,
        }
    }
}

const _: () = assert!(size_of::<SocketEnds<[u8; 4]>>() == 12);
const _: () = assert!(size_of::<SocketEnds<[u8; 16]>>() == 36);
