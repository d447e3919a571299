// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! What the kernel knows of names.

use crate::{
    maps::{NAMES, RESOLVER},
    snapshot::{whole, words},
};
use lb_common::{
    tables::Found,
    wire::{Labels, NameEntry, Resolver, fingerprint},
};

/// Copies where the kernel is asked; whether that is whole.
#[inline(always)]
pub(crate) fn resolver(into: &mut Resolver) -> bool {
    const WORDS: usize = words::<Resolver>();
    let look = || RESOLVER.get_ptr_mut(0);
    whole::<_, WORDS>(look, Resolver::IDENTITY, into).is_ok()
}

/// Copies what a name stands for.
#[inline(always)]
pub(crate) fn find(key: &Labels, into: &mut NameEntry) -> Found<()> {
    const WORDS: usize = words::<NameEntry>();
    let look = || NAMES.get_ptr_mut(key);
    let found = whole::<_, WORDS>(look, fingerprint(key), into);
    Ok(found?.map(|_| ()))
}
