// SPDX-License-Identifier: MIT OR Apache-2.0
//! `MASKS`: who is shown to a backend of another node as this node; see [`crate::masquerade`].

use super::Route;
use super::seal::sealed;
use crate::family::WideAddress;
use core::mem::offset_of;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute_mut, transmute_ref};

/// How many there may be at once, of each family.
pub const MASQUERADES: u32 = 1 << 17;

/// Half of a masquerade, keyed by the [`super::Tuple`] of the packets that it changes: of a
/// client's on their way to the backend, and of the backend's on their way to this node. 104 bytes.
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
    /// The way of such packets, as the routing table has said it lately.
    pub onwards: Onwards,
    /// Equal to `born_ns` in a whole value.
    pub born_ns_end: u64,
}

/// Where packets go on without the host's stack. Written in place while others read it: equal times
/// at both ends say that it is whole. 56 bytes.
#[repr(C)]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct Onwards {
    /// Until when it is believed, `CLOCK_MONOTONIC`; 0 = it says nothing.
    pub until_ns: u64,
    /// The interface that they come by.
    pub comes_by: u32,
    /// The interface that they leave by.
    pub leaves_by: u32,
    /// What their IP header says of the kind of traffic: [`super::Route::class`].
    pub class: [u8; 4],
    /// The longest IP packet that fits.
    pub length: u16,
    /// The station that they are sent to before.
    pub station: [u8; 6],
    /// The station that sends them on.
    pub from_station: [u8; 6],
    /// The next hop's station.
    pub to_station: [u8; 6],
    /// Always zero.
    pub pad: [u8; 8],
    /// Equal to `until_ns` in a whole value.
    pub until_end_ns: u64,
}

impl Onwards {
    /// Has an answer of the routing table's show this way, by whole words: see [`Route::ask`].
    #[inline(always)]
    pub fn show(&self, answered: &mut Route) {
        answered.ifindex = self.leaves_by;
        let words: &[u32; 14] = transmute_ref!(self);
        let [.., s0, s1, s2, _, _, _, _] = words;
        let [.., t0, t1, t2]: &mut [u32; 16] = transmute_mut!(answered);
        (*t0, *t1, *t2) = (*s0, *s1, *s2);
    }
}

const _: () = assert!(offset_of!(Onwards, from_station) == 4 * (14 - 7));

impl Mask {
    /// The packet is the client's.
    pub const SOURCE: u8 = 0;
    /// The packet is the backend's.
    pub const DESTINATION: u8 = 1;
}

sealed!(Mask: born_ns, born_ns_end);

const _: () = assert!(size_of::<Onwards>() == 56);
const _: () = assert!(size_of::<Mask>() == 104);
