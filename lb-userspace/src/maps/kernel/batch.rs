// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many elements of an array by one system call (Linux 5.6); aya has calls for single ones only.

use crate::{
    bpf::{self, Command, address, word},
    maps::pod::Wire,
};
use aya::{
    Pod,
    maps::{Array, IterableMap as _, MapData},
};
use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where in the member `batch` of `union bpf_attr` the number of elements is: before the call,
/// those there are; after it, those that were done.
const COUNT: usize = 4;

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
    let count = u32::try_from(keys.len()).map_err(io::Error::other)?;
    let (in_batch, out_batch, elem_flags, flags) = (0, 0, 0, 0);
    let mut batch = [
        in_batch,
        out_batch,
        address(keys.as_ptr()),
        address(values.as_ptr()),
        word(count, number(map)?),
        elem_flags,
        flags,
    ];
    // SAFETY: the kernel reads `count` keys and as many values, of the size that `open` has
    // checked to be that of a `T`; both outlive the call, and nothing is written.
    unsafe { bpf::call(Command::MapUpdateBatch, &mut batch) }
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
    let (elem_flags, flags) = (0, 0);
    let mut batch = [
        // Where the key before the first one is; 0: from the beginning.
        before.as_ref().map_or(0, |before| address(before)),
        // Where the kernel writes the last key.
        address(&raw mut last),
        address(keys.as_mut_ptr()),
        address(values.as_mut_ptr()),
        word(count, number(map)?),
        elem_flags,
        flags,
    ];
    // SAFETY: the kernel writes at most `count` keys and as many values, of the size that `open`
    // has checked to be that of a `T`, for which any bytes do, and one key to `last`; all of them
    // outlive the call.
    unsafe { bpf::call(Command::MapLookupBatch, &mut batch) }?;
    if bpf::first(batch[COUNT]) != count {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(values)
}

/// The map's descriptor as attributes hold it.
fn number<V: Pod>(map: &Array<MapData, V>) -> io::Result<u32> {
    u32::try_from(map.map().fd().as_fd().as_raw_fd()).map_err(io::Error::other)
}
