// SPDX-License-Identifier: MIT OR Apache-2.0
//! Noticing torn reads: what a value must show to be believed.

use zerocopy::{Immutable, IntoBytes};

/// A value that may be overwritten while it is being read.
///
/// The adapter copies the value once, front to back, and asks [`Sealed::intact`]; a failed check
/// repeats the lookup once and then ends the packet as `Reason::Torn`.
pub trait Sealed: Copy {
    /// The version written at the front, and again at the back.
    fn versions(&self) -> (u64, u64);
    /// Which key the value belongs to: [`fingerprint`] of the key, or the key itself.
    fn identity(&self) -> u64;

    /// Whether the copy is one whole value of the key with this identity.
    #[inline(always)]
    fn intact(&self, identity: u64) -> bool {
        let (front, back) = self.versions();
        front == back && self.identity() == identity
    }
}

/// Implements [`Sealed`] for a value that carries its identity in a field of that name, by the
/// fields that hold its version.
macro_rules! sealed {
    ($value:ident: $front:ident, $back:ident) => {
        impl $crate::wire::Sealed for $value {
            #[inline(always)]
            fn versions(&self) -> (u64, u64) {
                (self.$front, self.$back)
            }

            #[inline(always)]
            fn identity(&self) -> u64 {
                self.identity
            }
        }
    };
}

pub(super) use sealed;

/// 64 bits that stand for a key: the words of the key, multiplied and mixed.
///
/// It distinguishes keys whose elements share memory over time, nothing more: whoever can choose
/// keys gains nothing from a collision, since the map has already compared the key itself.
#[inline(always)]
pub fn fingerprint<K: IntoBytes + Immutable>(key: &K) -> u64 {
    let mut print = 0x9e37_79b9_7f4a_7c15_u64;
    let mut rest = key.as_bytes();
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        print = mix(print ^ u64::from_ne_bytes(*word));
        rest = tail;
    }
    while let Some((word, tail)) = rest.split_first_chunk::<4>() {
        print = mix(print ^ u64::from(u32::from_ne_bytes(*word)));
        rest = tail;
    }
    print
}

#[inline(always)]
pub(super) fn mix(word: u64) -> u64 {
    let product = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    product ^ (product >> 32)
}
