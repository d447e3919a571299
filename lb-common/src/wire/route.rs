// SPDX-License-Identifier: MIT OR Apache-2.0
//! `struct bpf_fib_lookup` of `uapi/linux/bpf.h`: how the host's routing table is asked.

use crate::family::WideAddress;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, transmute, transmute_mut, transmute_ref,
};

/// A question to the host's routing table, and the answer in its place. 64 bytes.
#[repr(C, align(8))]
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
    /// Becomes the question for packets of a family and protocol, which come by an interface and
    /// have such a length. It has no ports, and nothing that only answers have is touched.
    ///
    /// All here goes by whole words, as all that a packet has made, compared or copied does: see
    /// `put` of `tuple.rs`. Of a whole the linker makes a call that goes byte by byte, which here
    /// took as long as all else that is done with one.
    #[inline(always)]
    pub fn ask(
        &mut self,
        [family, protocol]: [u8; 2],
        length: u16,
        (ifindex, class): (u32, [u8; 4]),
        (source, destination): (WideAddress, WideAddress),
    ) {
        let [kind, way, s0, s1, d0, d1, ..]: &mut [u64; 8] = transmute_mut!(self);
        let ([l0, l1], [i0, i1, i2, i3]) = (length.to_ne_bytes(), ifindex.to_ne_bytes());
        let [c0, c1, c2, c3] = class;
        *kind = u64::from_ne_bytes([family, protocol, 0, 0, 0, 0, l0, l1]);
        *way = u64::from_ne_bytes([i0, i1, i2, i3, c0, c1, c2, c3]);
        [*s0, *s1] = transmute!(source);
        [*d0, *d1] = transmute!(destination);
    }

    /// Becomes the same as another one.
    #[inline(always)]
    pub fn set(&mut self, other: &Self) {
        let from: &[u64; 8] = transmute_ref!(other);
        let to: &mut [u64; 8] = transmute_mut!(self);
        let [t0, t1, t2, t3, t4, t5, t6, t7] = to;
        let [f0, f1, f2, f3, f4, f5, f6, f7] = from;
        (*t0, *t1, *t2, *t3) = (*f0, *f1, *f2, *f3);
        (*t4, *t5, *t6, *t7) = (*f4, *f5, *f6, *f7);
    }

    /// Whether this question is another one of a packet that may have another length.
    #[inline(always)]
    pub fn is_like(&self, other: &Self) -> bool {
        const LENGTH: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        let [ours, theirs]: [&[u64; 8]; 2] = [self, other].map(|route| transmute_ref!(route));
        let [ours_kind, ours @ ..] = ours;
        let [theirs_kind, theirs @ ..] = theirs;
        let kind = (ours_kind ^ theirs_kind) & !LENGTH;
        let words = ours.iter().zip(theirs);
        words.fold(kind, |all, (ours, theirs)| all | (ours ^ theirs)) == 0
    }

    /// The begin of a frame that goes the way of this answer: the next hop's station, and the one
    /// that sends it there.
    #[inline(always)]
    pub fn stations(&self) -> [u8; 12] {
        let words: &[u32; 16] = transmute_ref!(self);
        let [.., w0, w1, w2] = words.map(|word| u64::from(word.to_le()));
        // `from_station` ends in the middle of a word, in which `to_station` begins.
        let (from, to) = (w0 | w1 << 32, w1 >> 16 | w2 << 16);
        let [b0, b1, b2, b3, b4, b5, b6, b7] = (to | from << 48).to_le_bytes();
        let [_, _, b8, b9, b10, b11, _, _] = from.to_le_bytes();
        [b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11]
    }
}

const _: () = assert!(size_of::<Route>() == 64);
