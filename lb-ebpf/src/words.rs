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
        let mut shift = 0;
        while at < N && shift < u64::BITS as usize {
            let length = match N - at {
                8.. if shift == 0 => 8,
                4.. => 4,
                2.. => 2,
                _ => 1,
            };
            // SAFETY: these are some of the N bytes for which the caller vouches.
            *word |= unsafe { part(from + at, length) } << shift;
            at += length;
            shift += 8 * length;
        }
    }
    words
}

/// The first N bytes of it.
#[inline(always)]
pub(crate) fn write<const N: usize>(words: &Words, into: &mut [u8; N]) {
    const { assert!(N <= size_of::<Words>()) };
    // SAFETY: there are at least as many bytes in the words, and bytes need no alignment.
    *into = unsafe { core::ptr::from_ref(words).cast::<[u8; N]>().read() };
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
