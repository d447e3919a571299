// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Internet checksum, corrected for what changed instead of computed anew (RFC 1624).

/// A change of what a checksum covers: the one's complement sum of the new words less the old,
/// in the machine's byte order (the sum does not care, RFC 1071 section 2.B; the kernel's helpers
/// want it so).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change(pub u32);

impl Change {
    /// The change from some bytes to others of the same even length.
    #[inline(always)]
    pub fn between<const N: usize>(old: &[u8; N], new: &[u8; N]) -> Self {
        Self(0).and(old, new)
    }

    /// This change and another one.
    #[inline(always)]
    #[must_use]
    pub fn and<const N: usize>(self, old: &[u8; N], new: &[u8; N]) -> Self {
        const { assert!(N % 2 == 0, "a checksum covers 16-bit words") };
        let Self(mut sum) = self;
        let mut at = 0;
        while at + 1 < N {
            sum = add(sum, word(new, at));
            sum = add(sum, !word(old, at) & 0xffff);
            at += 2;
        }
        Self(sum)
    }
}

/// The checksum field after a change (RFC 1624, equation 3).
#[inline(always)]
pub fn add_to(check: [u8; 2], Change(change): Change) -> [u8; 2] {
    let sum = add(change, u32::from(!u16::from_ne_bytes(check)));
    (!fold(sum)).to_ne_bytes()
}

#[inline(always)]
fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    match bytes.get(at..at + 2) {
        Some(&[a, b]) => u32::from(u16::from_ne_bytes([a, b])),
        _ => 0,
    }
}

/// Addition with end-around carry.
#[inline(always)]
fn add(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u32::from(carry))
}

#[inline(always)]
fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff).wrapping_add(sum >> 16);
    let twice = (once & 0xffff).wrapping_add(once >> 16);
    twice as u16
}
