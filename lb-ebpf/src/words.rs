// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Bytes of a packet as whole words, wherever they begin.
//!
//! Headers stand at even offsets at best, and the compiler reads what may begin anywhere byte by
//! byte. The kernel lets a program read words of a packet at any address (but on processors that
//! cannot, where it refuses the program), so it is told so here in the machine's own words.

use core::arch::asm;

/// Room for N bytes that are then read as words.
#[repr(align(8))]
pub(crate) struct Room<const N: usize>([u8; N]);

/// Up to forty bytes.
pub(crate) type Words = [u64; 5];

/// N bytes of a packet, and zeros behind them.
///
/// # Safety
///
/// N bytes at `from` must be readable, as the verifier checks.
#[inline(always)]
pub(crate) unsafe fn read<const N: usize>(from: usize) -> Words {
    let mut words = Words::default();
    let mut at = 0;
    for word in &mut words {
        for (size, shift) in pieces(N.saturating_sub(at)) {
            if size != 0 {
                // SAFETY: these are some of the N bytes for which the caller vouches.
                *word |= unsafe { part(from + at, size) } << shift;
                at += size;
            }
        }
    }
    words
}

/// In which pieces a word is read or written of which so many bytes are left: their sizes, and how
/// many bits are in front of each.
#[inline(always)]
const fn pieces(left: usize) -> [(usize, usize); 3] {
    if left >= 8 {
        return [(8, 0), (0, 0), (0, 0)];
    }
    let (four, two, one) = (left & 4, left & 2, left & 1);
    [(four, 0), (two, 8 * four), (one, 8 * (four + two))]
}

/// The first N bytes of it.
#[inline(always)]
pub(crate) fn write<const N: usize>(words: &Words, into: &mut [u8; N]) {
    const { assert!(N <= size_of::<Words>()) };
    // SAFETY: there are at least as many bytes in the words, and bytes need no alignment.
    *into = unsafe { core::ptr::from_ref(words).cast::<[u8; N]>().read() };
}

/// N bytes, and zeros behind them.
#[inline(always)]
pub(crate) fn of<const N: usize>(bytes: &[u8; N]) -> Words {
    const { assert!(N <= size_of::<Words>()) };
    let mut words = Words::default();
    let room = core::ptr::from_mut(&mut words).cast::<[u8; N]>();
    // SAFETY: there are at least as many bytes in the words, and bytes need no alignment.
    unsafe { room.write(*bytes) };
    words
}

/// Overwrites N bytes of a packet with the first ones of these.
///
/// # Safety
///
/// N bytes at `to` must be writable, as the verifier checks.
#[inline(always)]
pub(crate) unsafe fn store<const N: usize>(words: &Words, to: usize) {
    let mut at = 0;
    for word in words {
        for (size, shift) in pieces(N.saturating_sub(at)) {
            if size != 0 {
                // SAFETY: these are some of the N bytes for which the caller vouches.
                unsafe { store_part(to + at, size, word >> shift) };
                at += size;
            }
        }
    }
}

/// Eight, four or two bytes, or one.
///
/// # Safety
///
/// They must be writable, as the verifier checks.
#[inline(always)]
unsafe fn store_part(to: usize, length: usize, word: u64) {
    macro_rules! store {
        ($instruction:literal) => {
            // SAFETY: writes what the caller vouches for, and does nothing else.
            unsafe {
                asm!($instruction, in(reg) to, in(reg) word, options(nostack));
            }
        };
    }
    match length {
        8 => store!("*(u64 *)({} + 0) = {}"),
        4 => store!("*(u32 *)({} + 0) = {}"),
        2 => store!("*(u16 *)({} + 0) = {}"),
        _ => store!("*(u8 *)({} + 0) = {}"),
    }
}

/// Eight, four or two bytes, or one.
///
/// # Safety
///
/// They must be readable, as the verifier checks.
#[inline(always)]
unsafe fn part(from: usize, length: usize) -> u64 {
    let word: u64;
    macro_rules! load {
        ($instruction:literal) => {
            // SAFETY: reads what the caller vouches for, and does nothing else.
            unsafe {
                asm!($instruction, out(reg) word, in(reg) from, options(pure, readonly, nostack));
            }
        };
    }
    match length {
        8 => load!("{} = *(u64 *)({} + 0)"),
        4 => load!("{} = *(u32 *)({} + 0)"),
        2 => load!("{} = *(u16 *)({} + 0)"),
        _ => load!("{} = *(u8 *)({} + 0)"),
    }
    word
}
