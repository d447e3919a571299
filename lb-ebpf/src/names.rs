// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! What the kernel knows of names.

use crate::{
    maps::{LONG_NAMES, NAMES, RESOLVER},
    snapshot::{whole, words},
};
use core::mem::offset_of;
use lb_common::{
    tables::Found,
    wire::{Labels, NameEntry, Resolver, Sealed as _},
};

/// Copies where the kernel is asked, unless that is what was copied last; whether it is whole.
#[inline(always)]
pub(crate) fn resolver(into: &mut Resolver) -> bool {
    const WORDS: usize = words::<Resolver>();
    let look = || RESOLVER.get_ptr_mut(0);
    let is_known = look().is_some_and(|at| {
        let version = at.wrapping_byte_add(offset_of!(Resolver, version));
        // SAFETY: an aligned word of a map value.
        let version = unsafe { version.cast::<u64>().read_volatile() };
        // No two writes have the same one, but for the zero of what no agent has written.
        version != 0 && version == into.version
    });
    is_known && into.intact(Resolver::IDENTITY)
        || whole::<_, WORDS>(look, Resolver::IDENTITY, into).is_ok()
}

/// Copies what a name stands for.
#[inline(always)]
pub(crate) fn find(key: &Labels, into: &mut NameEntry) -> Found<()> {
    const WORDS: usize = words::<NameEntry>();
    let identity = key.identity();
    let found = match key.short() {
        Some(short) => whole::<_, WORDS>(|| NAMES.get_ptr_mut(short), identity, into),
        None => whole::<_, WORDS>(|| LONG_NAMES.get_ptr_mut(key), identity, into),
    };
    Ok(found?.map(|_| ()))
}
