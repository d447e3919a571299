// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one hash behind every choice of a backend: SipHash-1-3, keyed by the cluster's seed.
//!
//! Keyed, because whoever could predict it could pile flows onto one backend, or Services onto the
//! same slots. The same function runs in the kernel, in the agent and on every node.

/// SipHash-1-3 (Aumasson and Bernstein, 2012) of whole 64-bit words under a 128-bit key.
///
/// Equal to the byte-wise definition over the words in little-endian order. Every use prefixes a
/// word of its own, so that two uses of one seed never hash the same message.
#[inline(always)]
pub fn hash(seed: [u64; 2], words: &[u64]) -> u64 {
    let [k0, k1] = seed;
    let mut state = State {
        v0: k0 ^ 0x736f_6d65_7073_6575,
        v1: k1 ^ 0x646f_7261_6e64_6f6d,
        v2: k0 ^ 0x6c79_6765_6e65_7261,
        v3: k1 ^ 0x7465_6462_7974_6573,
    };
    let mut length = 0_u64;
    for &word in words {
        state = state.absorb(word);
        length = length.wrapping_add(8);
    }
    // The last block holds the length's low byte at its top, and no bytes left over.
    state = state.absorb(length << 56);
    state.v2 ^= 0xff;
    let State { v0, v1, v2, v3 } = state.round().round().round();
    v0 ^ v1 ^ v2 ^ v3
}

#[derive(Clone, Copy)]
struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline(always)]
    fn absorb(mut self, word: u64) -> Self {
        self.v3 ^= word;
        let mut state = self.round();
        state.v0 ^= word;
        state
    }

    #[inline(always)]
    fn round(self) -> Self {
        let Self {
            mut v0,
            mut v1,
            mut v2,
            mut v3,
        } = self;
        v0 = v0.wrapping_add(v1);
        v1 = v1.rotate_left(13) ^ v0;
        v0 = v0.rotate_left(32);
        v2 = v2.wrapping_add(v3);
        v3 = v3.rotate_left(16) ^ v2;
        v0 = v0.wrapping_add(v3);
        v3 = v3.rotate_left(21) ^ v0;
        v2 = v2.wrapping_add(v1);
        v1 = v1.rotate_left(17) ^ v2;
        v2 = v2.rotate_left(32);
        Self { v0, v1, v2, v3 }
    }
}

#[cfg(test)]
mod tests {
    use super::hash;
    use core::hash::Hasher;
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    proptest! {
        #[test]
        fn equals_an_independent_implementation(
            seed in any::<[u64; 2]>(),
            words in proptest::collection::vec(any::<u64>(), 0..40),
        ) {
            let mut theirs = SipHasher13::new_with_keys(seed[0], seed[1]);
            for word in &words {
                theirs.write(&word.to_le_bytes());
            }
            prop_assert_eq!(hash(seed, &words), theirs.finish());
        }
    }
}
