// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bpf(2)`, for the commands that aya has no calls for.

use std::io;

/// Commands of `enum bpf_cmd` in `include/uapi/linux/bpf.h`.
#[derive(Clone, Copy)]
pub(crate) enum Command {
    ProgQuery = 16,
    MapLookupBatch = 24,
    MapUpdateBatch = 26,
}

/// Lets the kernel read the command's member of `union bpf_attr`, in words, and write its answer
/// there.
///
/// # Safety
///
/// What the addresses in there lead to is as large as the command makes it, and outlives the call.
pub(crate) unsafe fn call<const WORDS: usize>(
    command: Command,
    attributes: &mut [u64; WORDS],
) -> io::Result<()> {
    #[expect(clippy::as_conversions, reason = "its number")]
    let command = command as libc::c_int;
    let size = size_of_val(attributes);
    // SAFETY: the caller vouches for the addresses, and the kernel is told the size of the rest.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Two neighbouring members of 32 bits, as one word in any byte order.
pub(crate) fn word(first: u32, second: u32) -> u64 {
    zerocopy::transmute!([first, second])
}

/// The first of two such members.
pub(crate) fn first(word: u64) -> u32 {
    let [first, _second]: [u32; 2] = zerocopy::transmute!(word);
    first
}

/// An address as attributes hold it.
pub(crate) fn address<T>(pointer: *const T) -> u64 {
    u64::try_from(pointer.expose_provenance()).unwrap_or(0)
}
