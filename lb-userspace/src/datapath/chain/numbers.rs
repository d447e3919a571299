// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which programs run on a tcx hook, by number alone.
//!
//! aya tells their names as well, for which the kernel wants `CAP_SYS_ADMIN`
//! (`BPF_PROG_GET_FD_BY_ID`): next to all rights that there are. Numbers are for whoever has
//! `CAP_NET_ADMIN`, and they are enough to see whether ours is there.

use crate::{
    bpf::{self, Command, address, word},
    datapath::pin::{Hook, Place},
};
use std::io;

/// `BPF_MPROG_MAX`, kernel/bpf/mprog.c: no hook has more.
const MOST: usize = 64;

/// Where in the member `query` of `union bpf_attr` their number is: room before the call, those
/// that there are after it.
const COUNT: usize = 3;

/// In the order in which they run.
pub(super) fn of_tcx(place: Place) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; MOST];
    // `enum bpf_attach_type`.
    let attach_type = match place.hook {
        Hook::Ingress => 46,
        Hook::Egress => 47,
    };
    let room = u32::try_from(MOST).map_err(io::Error::other)?;
    let (query_flags, attach_flags, pad) = (0, 0, 0);
    let (prog_attach_flags, link_ids, link_attach_flags, revision) = (0, 0, 0, 0);
    // As long as it is since there is tcx.
    let mut query = [
        word(place.ifindex, attach_type),
        word(query_flags, attach_flags),
        address(ids.as_mut_ptr()),
        word(room, pad),
        prog_attach_flags,
        link_ids,
        link_attach_flags,
        revision,
    ];
    // SAFETY: `ids` has room for the `MOST` numbers that the kernel may write, and outlives the
    // call.
    unsafe { bpf::call(Command::ProgQuery, &mut query) }?;
    let count = usize::try_from(bpf::first(query[COUNT])).map_err(io::Error::other)?;
    Ok(ids.into_iter().take(count).collect())
}
