// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that loading has needed, and nothing else does.

/// Gives back what was freed: the kernel's type information alone is some 20 MB, and glibc keeps it
/// where anything that lives lies behind it. Other C libraries give such pieces back by themselves.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: it touches free memory alone, of any thread, under the allocator's own locks.
        let _was_any = unsafe { libc::malloc_trim(0) };
    }
}
