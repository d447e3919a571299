// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many elements of an array by one system call (Linux 5.6); aya has calls for single ones only.

use crate::maps::pod::Wire;
use aya::{
    Pod,
    maps::{Array, IterableMap as _, MapData},
};
use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Commands of `enum bpf_cmd` in `include/uapi/linux/bpf.h`.
const LOOKUP: i32 = 24;
const UPDATE: i32 = 26;

/// The member `batch` of `union bpf_attr`, in words.
struct Attributes {
    /// Where the key before the first one is; 0: from the beginning.
    in_batch: u64,
    /// Where the kernel writes the last key.
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
}

impl Attributes {
    fn words(&self, map_fd: u32) -> [u64; 7] {
        // Two words of 32 bits, one behind the other, whatever the byte order.
        let count_and_map: u64 = zerocopy::transmute!([self.count, map_fd]);
        let (elem_flags, flags) = (0, 0);
        [
            self.in_batch,
            self.out_batch,
            self.keys,
            self.values,
            count_and_map,
            elem_flags,
            flags,
        ]
    }
}

/// Writes the element of each key, in this order. Keys are below the map's size; then the kernel
/// has no reason to stop half-way.
pub(super) fn write<T>(map: &Array<MapData, Wire<T>>, keys: &[u32], values: &[T]) -> io::Result<()>
where
    T: IntoBytes + Immutable,
    Wire<T>: Pod,
{
    if keys.is_empty() || keys.len() != values.len() {
        return Ok(());
    }
    let attributes = Attributes {
        in_batch: 0,
        out_batch: 0,
        keys: address(keys.as_ptr()),
        values: address(values.as_ptr()),
        count: u32::try_from(keys.len()).map_err(io::Error::other)?,
    };
    // SAFETY: the kernel reads `count` keys and as many values, of the size that `open` has
    // checked to be that of a `T`; both outlive the call, and nothing is written.
    unsafe { call(UPDATE, map, &attributes) }?;
    Ok(())
}

/// Reads elements from an index on; all of them must be there.
pub(super) fn read<T>(map: &Array<MapData, Wire<T>>, first: u32, count: u32) -> io::Result<Vec<T>>
where
    T: FromBytes + Copy,
    Wire<T>: Pod,
{
    if count == 0 {
        return Ok(Vec::new());
    }
    let length = usize::try_from(count).map_err(io::Error::other)?;
    let mut keys = vec![0_u32; length];
    let mut values = vec![T::new_zeroed(); length];
    let (before, mut last) = (first.checked_sub(1), 0_u32);
    let attributes = Attributes {
        in_batch: before.as_ref().map_or(0, |before| address(before)),
        out_batch: address(&raw mut last),
        keys: address(keys.as_mut_ptr()),
        values: address(values.as_mut_ptr()),
        count,
    };
    // SAFETY: the kernel writes at most `count` keys and as many values, of the size that `open`
    // has checked to be that of a `T`, for which any bytes do, and one key to `last`; all of them
    // outlive the call.
    let done = unsafe { call(LOOKUP, map, &attributes) }?;
    if done != count {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(values)
}

/// How many elements were done.
///
/// # Safety
///
/// What the addresses in `attributes` lead to is as large as the command and the map make it.
unsafe fn call<V: Pod>(
    command: i32,
    map: &Array<MapData, V>,
    attributes: &Attributes,
) -> io::Result<u32> {
    let map = map.map().fd().as_fd().as_raw_fd();
    let mut words = attributes.words(u32::try_from(map).map_err(io::Error::other)?);
    let size = size_of_val(&words);
    // SAFETY: the caller vouches for the addresses, and the kernel is told the size of the rest.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut words, size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let [.., count_and_map, _, _] = words;
    let [a, b, c, d, ..] = count_and_map.to_ne_bytes();
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

fn address<T>(pointer: *const T) -> u64 {
    u64::try_from(pointer.expose_provenance()).unwrap_or(0)
}
