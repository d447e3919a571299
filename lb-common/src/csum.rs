// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Internet checksum, corrected for what changed instead of computed anew (RFC 1624).

/// A change of what a checksum covers: the one's complement sum of the new words less the old,
/// in the machine's byte order (the sum does not care, RFC 1071 section 2.B; the kernel's helpers
/// want it so).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change(pub u32);

impl Change {
    /// The change from some bytes to others.
    ///
    /// Summed in 32-bit words: congruent, since 2^32 - 1 is a multiple of 2^16 - 1, and what the
    /// compiler keeps in registers instead of byte by byte.
    #[inline(always)]
    pub fn between<const N: usize>(old: &[u8; N], new: &[u8; N]) -> Self {
        const { assert!(N.is_multiple_of(4), "addresses, pairs of ports") };
        let mut sum = 0_u64;
        let (mut old, mut new) = (old.as_slice(), new.as_slice());
        while let (Some((old_word, old_rest)), Some((new_word, new_rest))) =
            (old.split_first_chunk::<4>(), new.split_first_chunk::<4>())
        {
            sum = sum
                .wrapping_add(u64::from(u32::from_ne_bytes(*new_word)))
                .wrapping_add(u64::from(!u32::from_ne_bytes(*old_word)));
            (old, new) = (old_rest, new_rest);
        }
        Self::folded(sum)
    }

    /// What some bytes add to a sum.
    #[inline(always)]
    pub fn of<const N: usize>(bytes: &[u8; N]) -> Self {
        Self::between(&[0; N], bytes)
    }

    /// What any number of bytes add, from an even offset on.
    #[inline(always)]
    pub fn of_some<const N: usize>(bytes: &[u8; N]) -> Self {
        let mut sum = 0_u64;
        let mut rest = bytes.as_slice();
        while let Some((word, tail)) = rest.split_first_chunk::<4>() {
            sum = sum.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
            rest = tail;
        }
        let last = match *rest {
            [a, b, c] => [a, b, c, 0],
            [a, b] => [a, b, 0, 0],
            [a] => [a, 0, 0, 0],
            _ => [0; 4],
        };
        Self::folded(sum.wrapping_add(u64::from(u32::from_ne_bytes(last))))
    }

    /// The change that undoes this one.
    #[inline(always)]
    #[must_use]
    pub fn undone(self) -> Self {
        let Self(sum) = self;
        Self(!sum)
    }

    /// The change of the same bytes, one byte further on.
    #[inline(always)]
    #[must_use]
    pub fn shifted(self) -> Self {
        let Self(sum) = self;
        // RFC 1071, section 2.B: a sum of swapped bytes is the swapped sum.
        Self(sum.rotate_left(8))
    }

    #[inline(always)]
    fn folded(sum: u64) -> Self {
        let once = (sum & 0xffff_ffff).wrapping_add(sum >> 32);
        let [a, b, c, d, ..] = once.wrapping_add(once >> 32).to_le_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }

    /// Both changes together.
    #[inline(always)]
    #[must_use]
    pub fn plus(self, Self(other): Self) -> Self {
        let Self(sum) = self;
        Self(add(sum, other))
    }
}

/// The checksum field after a change (RFC 1624, equation 3).
#[inline(always)]
pub fn add_to(check: [u8; 2], Change(change): Change) -> [u8; 2] {
    let sum = add(change, u32::from(!u16::from_ne_bytes(check)));
    (!fold(sum)).to_ne_bytes()
}

/// A transport checksum after a change; nothing where it stays as it is.
///
/// `zero_is_none` is UDP's rule (RFC 768): a checksum of zero means "none" and stays; a computed
/// zero is sent as all ones.
#[inline(always)]
pub fn corrected(check: [u8; 2], change: Change, zero_is_none: bool) -> Option<[u8; 2]> {
    if zero_is_none && check == [0; 2] {
        return None;
    }
    match add_to(check, change) {
        [0, 0] if zero_is_none => Some([0xff; 2]),
        corrected => Some(corrected),
    }
}

/// The checksum field of bytes that make this sum, the field itself counted as zero.
#[inline(always)]
pub fn field(sum: Change) -> [u8; 2] {
    add_to([0xff; 2], sum)
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
    let [low, high, ..] = twice.to_le_bytes();
    u16::from_le_bytes([low, high])
}
