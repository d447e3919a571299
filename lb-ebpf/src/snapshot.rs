// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Copies of map values that may be overwritten meanwhile.

use lb_common::{
    tables::{Found, Torn},
    wire::Sealed,
};

/// Copies the value of the key with this identity that `look` finds, and says where it is.
///
/// A copy that is not whole is taken once more.
#[inline(always)]
pub(crate) fn whole<V: Sealed, const WORDS: usize>(
    look: impl Fn() -> Option<*mut V>,
    identity: u64,
    into: &mut V,
) -> Found<*mut V> {
    for _ in 0..2 {
        let Some(at) = look() else {
            return Ok(None);
        };
        // SAFETY: `look` has the pointer from a lookup in a map of such values, which stay
        // readable while the program runs.
        unsafe { copy_words::<V, WORDS>(at, into) };
        if into.intact(identity) {
            return Ok(Some(at));
        }
    }
    Err(Torn)
}

/// Copies the first `WORDS` words of a value, front to back.
///
/// Volatile, so that the compiler neither reorders the words nor reads one twice: the check of the
/// copy relies on both.
///
/// # Safety
///
/// `at` must be readable as a `V`, whose size is a multiple of eight bytes not less than `WORDS`
/// words, and for which all bit patterns are valid.
#[inline(always)]
pub(crate) unsafe fn copy_words<V, const WORDS: usize>(at: *const V, into: &mut V) {
    const { assert!(size_of::<V>().is_multiple_of(8) && WORDS * 8 <= size_of::<V>()) };
    const { assert!(align_of::<V>() == 8) }
    let into = core::ptr::from_mut(into).cast::<u64>();
    let mut word = 0;
    while word < WORDS {
        // SAFETY: `word` is less than the words of `V`.
        let from = unsafe { at.cast::<u64>().add(word) };
        // SAFETY: as above.
        let to = unsafe { into.add(word) };
        // SAFETY: the caller vouches for it.
        let value = unsafe { from.read_volatile() };
        // SAFETY: our own copy, aligned as `V` is.
        unsafe { to.write(value) };
        word += 1;
    }
}

/// Words of a value.
pub(crate) const fn words<V>() -> usize {
    size_of::<V>() / 8
}
