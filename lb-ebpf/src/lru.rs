// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Tables in which the kernel lets entries give way to others.

use aya_ebpf::btf_maps::LruHashMap;

/// Puts an entry there, and looks it up, so that it counts as used.
///
/// An entry that nobody has looked up gives way before all that were, however new it is
/// (`__local_list_flush` and `__bpf_lru_list_shrink` of `kernel/bpf/bpf_lru_list.c`). Where most
/// flows are answered, that would be the one whose answer is still to come.
#[inline(always)]
pub(crate) fn insert<K, V, const ENTRIES: usize>(
    table: &LruHashMap<K, V, ENTRIES>,
    key: &K,
    value: &V,
    flags: u64,
) -> Result<(), i32> {
    table.insert(key, value, flags)?;
    let _used = table.get_ptr(key);
    Ok(())
}
