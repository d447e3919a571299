// SPDX-License-Identifier: MIT OR Apache-2.0
//! `struct bpf_fib_lookup` of `uapi/linux/bpf.h`: how the host's routing table is asked.

use crate::family::WideAddress;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, transmute, transmute_mut, transmute_ref,
};

/// A question to the host's routing table, and the answer in its place. 64 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Route {
    /// Linux's number of the family; of the answer, that of the next hop.
    pub family: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port, network order.
    pub source_port: [u8; 2],
    /// Destination port, network order.
    pub destination_port: [u8; 2],
    /// Length of the IP packet; of the answer that it is sent on, the longest that would be.
    pub length: u16,
    /// The interface that the packet came by; of the answer, the one that it leaves by.
    pub ifindex: u32,
    /// What the IP header says of the kind of traffic, without congestion and flow label.
    pub class: [u8; 4],
    /// Source address.
    pub source: WideAddress,
    /// Destination address; of the answer, the next hop's.
    pub destination: WideAddress,
    /// Nothing that we use.
    pub vlan: [u8; 4],
    /// The station that sends; only in the answer.
    pub from_station: [u8; 6],
    /// The next hop's station; only in the answer.
    pub to_station: [u8; 6],
}

impl Route {
    /// Becomes the same as another one.
    ///
    /// Word by word, as all that a packet has made zero or copied is: of a whole the linker makes a
    /// call that goes byte by byte, which here took as long as all else that is done with one.
    #[inline(always)]
    pub fn set(&mut self, other: &Self) {
        let from: &[u32; 16] = transmute_ref!(other);
        let to: &mut [u32; 16] = transmute_mut!(self);
        let [t0, t1, t2, t3, t4, t5, t6, t7, to @ ..] = to;
        let [f0, f1, f2, f3, f4, f5, f6, f7, from @ ..] = from;
        (*t0, *t1, *t2, *t3) = (*f0, *f1, *f2, *f3);
        (*t4, *t5, *t6, *t7) = (*f4, *f5, *f6, *f7);
        let [t0, t1, t2, t3, t4, t5, t6, t7] = to;
        let [f0, f1, f2, f3, f4, f5, f6, f7] = from;
        (*t0, *t1, *t2, *t3) = (*f0, *f1, *f2, *f3);
        (*t4, *t5, *t6, *t7) = (*f4, *f5, *f6, *f7);
    }

    /// Whether this question is another one of a packet that may have another length.
    #[inline(always)]
    pub fn is_like(&self, other: &Self) -> bool {
        let [ours, theirs]: [[u32; 16]; 2] = [self, other].map(|route| {
            transmute!(Self {
                length: 0,
                ..*route
            })
        });
        let words = ours.into_iter().zip(theirs);
        words.fold(0, |all, (ours, theirs)| all | (ours ^ theirs)) == 0
    }
}

const _: () = assert!(size_of::<Route>() == 64);
