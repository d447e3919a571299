// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which addresses flows and Services have had so far, as far as a byte of a hash tells.
//!
//! Most packets that meet our programs are none of ours, or no more: those between other pods, and
//! at the backend's link what the client's has translated. To look for a flow of each would cost
//! two to five searches in vain. So whoever makes a flow or a Service leaves traces of its
//! addresses, which nobody takes away: one without a trace is none of ours. A trace of another
//! address in its place costs the search that there would have been, and nothing else.

use crate::family::Family;
use crate::frame::Frame;
use crate::tables::Tables;
use crate::wire::{PAGE_SPOTS, PAGES, fingerprint};

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A Service's. Its trace is the agent's to leave, in an array of its own.
    Service,
    /// A Service's whose clients from outside get backends of other nodes through a tunnel;
    /// likewise.
    Tunnelled,
    /// What clients of flows dial.
    Dialled,
    /// What serves in flows.
    Serving,
    /// What serves in flows of clients that are shown to it as this node.
    Behind,
}

/// Where an address leaves its trace: a number below [`PAGES`] times [`PAGE_SPOTS`].
#[inline(always)]
pub fn spot<F: Family>(end: End, address: &F::Address) -> u32 {
    const { assert!(PAGES * PAGE_SPOTS == 1 << 17) };
    // The upper bits depend on all of the address, and the lowest two here say which end.
    let [.., b5, b6, b7] = fingerprint(address).to_le_bytes();
    let number = u32::from_le_bytes([b5, b6, b7, 0]) >> 7;
    match end {
        End::Service | End::Dialled => number,
        End::Serving | End::Tunnelled => number ^ 1,
        End::Behind => number ^ 2,
    }
}

/// Whether an address may be one like that.
#[inline(always)]
pub fn may_be<F: Family, T: Tables<F>>(tables: &T, end: End, address: &F::Address) -> bool {
    tables.has_trace(end, spot::<F>(end, address))
}

/// Whether what a packet is for has never been a Service's address, nor was dialled in any flow.
#[inline(always)]
pub fn is_of_none<F: Family, T: Tables<F>>(tables: &T, frame: &Frame<F::Address>) -> bool {
    let address = &frame.datagram.tuple.destination;
    !may_be::<F, T>(tables, End::Dialled, address) && !may_be::<F, T>(tables, End::Service, address)
}

/// Leaves the traces of a flow, before it is made.
#[inline(always)]
pub fn leave<F: Family, T: Tables<F>>(tables: &mut T, dialled: &F::Address, serving: &F::Address) {
    tables.leave_trace(spot::<F>(End::Dialled, dialled));
    tables.leave_trace(spot::<F>(End::Serving, serving));
}
