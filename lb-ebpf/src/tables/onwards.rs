// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! A masquerade's way, written in place.

use core::mem::offset_of;
use lb_common::wire::{Mask, Onwards};

const WORDS: usize = size_of::<Onwards>() / 8;

/// Writes the way of a mask into the one in the map: the time at its end goes first and comes last,
/// that at its begin comes before that, so whoever reads it meanwhile, front to back, finds two
/// different ones.
#[inline(always)]
pub(super) fn write(at: *mut Mask, mask: &Mask) {
    let born_ns: *mut u64 = at.wrapping_byte_add(offset_of!(Mask, born_ns)).cast();
    // SAFETY: a map value stays readable while the program runs.
    if unsafe { born_ns.read_volatile() } != mask.born_ns {
        return;
    }
    let to: *mut u64 = at.wrapping_byte_add(offset_of!(Mask, onwards)).cast();
    let from: *const u64 = (&raw const mask.onwards).cast();
    let copy = |word: usize| {
        // SAFETY: `word` is less than the words of the value, aligned as they are.
        let value = unsafe { from.wrapping_add(word).read() };
        // SAFETY: an aligned word of a map value.
        unsafe { to.wrapping_add(word).write_volatile(value) };
    };
    // SAFETY: as above.
    unsafe { to.wrapping_add(WORDS - 1).write_volatile(0) };
    let mut word = 1;
    while word < WORDS - 1 {
        copy(word);
        word += 1;
    }
    copy(0);
    copy(WORDS - 1);
}
