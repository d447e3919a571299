// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which programs run on a tcx hook, by number alone.
//!
//! aya tells their names as well, for which the kernel wants `CAP_SYS_ADMIN`
//! (`BPF_PROG_GET_FD_BY_ID`): next to all rights that there are. Numbers are for whoever has
//! `CAP_NET_ADMIN`, and they are enough to see whether ours is there.

use crate::datapath::pin::{Hook, Place};
use std::io;

/// `BPF_PROG_QUERY` of `enum bpf_cmd`, include/uapi/linux/bpf.h.
const PROG_QUERY: i32 = 16;
/// `BPF_MPROG_MAX`, kernel/bpf/mprog.c: no hook has more.
const MOST: usize = 64;
/// Where in the query their number is: room before, those that there are after.
const COUNT: usize = 6;

/// In the order in which they run.
pub(super) fn of_tcx(place: Place) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; MOST];
    // `query` of `union bpf_attr`, as long as it is since there is tcx, by words of four bytes.
    let mut query = [0_u32; 16];
    query[0] = place.ifindex;
    // `enum bpf_attach_type`.
    query[1] = match place.hook {
        Hook::Ingress => 46,
        Hook::Egress => 47,
    };
    let address = u64::try_from(ids.as_mut_ptr().expose_provenance()).map_err(io::Error::other)?;
    let address = address.to_ne_bytes();
    let (halves, _none) = address.as_chunks();
    for (word, half) in query[4..6].iter_mut().zip(halves) {
        *word = u32::from_ne_bytes(*half);
    }
    query[COUNT] = u32::try_from(MOST).map_err(io::Error::other)?;
    // SAFETY: `query` is what the command reads and writes, of the size that is said; `ids` has
    // room for the `MOST` numbers that it may write, and outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            PROG_QUERY,
            &raw mut query,
            size_of_val(&query),
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let count = usize::try_from(query[COUNT]).map_err(io::Error::other)?;
    Ok(ids.into_iter().take(count).collect())
}
