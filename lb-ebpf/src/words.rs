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
    // No loop over the bytes of a word: what it adds to the stack's address, a number first, Linux
    // takes for one of another function's stack (`adjust_ptr_min_max_vals`).
    for (index, word) in words.iter_mut().enumerate() {
        let at = 8 * index;
        let left = N.saturating_sub(at);
        if left >= 8 {
            // SAFETY: these are some of the N bytes for which the caller vouches.
            *word = unsafe { part(from + at, 8) };
            continue;
        }
        let mut done = 0;
        for length in [4, 2, 1] {
            if left & length != 0 {
                // SAFETY: as above.
                *word |= unsafe { part(from + at + done, length) } << (8 * done);
                done += length;
            }
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

/// Writes N bytes over those of a packet.
///
/// # Safety
///
/// N bytes at `to` must be writable, as the verifier checks.
#[inline(always)]
pub(crate) unsafe fn put<const N: usize>(bytes: &[u8; N], to: usize) {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..)
        && !rest.is_empty()
    {
        let length = match rest.len() {
            8.. => 8,
            4.. => 4,
            2.. => 2,
            _ => 1,
        };
        let mut word = [0; 8];
        for (byte, from) in word.iter_mut().zip(rest.iter().take(length)) {
            *byte = *from;
        }
        // SAFETY: these are some of the N bytes for which the caller vouches.
        unsafe { put_part(u64::from_ne_bytes(word), to + at, length) };
        at += length;
    }
}

/// Writes eight, four or two bytes, or one.
///
/// # Safety
///
/// They must be writable, as the verifier checks.
#[inline(always)]
unsafe fn put_part(word: u64, to: usize, length: usize) {
    macro_rules! store {
        ($instruction:literal) => {
            // SAFETY: writes what the caller vouches for, and does nothing else.
            unsafe { asm!($instruction, in(reg) to, in(reg) word, options(nostack)) }
        };
    }
    match length {
        8 => store!("*(u64 *)({} + 0) = {}"),
        4 => store!("*(u32 *)({} + 0) = {}"),
        2 => store!("*(u16 *)({} + 0) = {}"),
        _ => store!("*(u8 *)({} + 0) = {}"),
    }
}
