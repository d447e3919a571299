// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Traces that addresses leave: bytes that programs of all processors read, and set without locks.

use crate::maps::Traces;
use lb_common::wire::PAGE_SPOTS;

/// Whether an address has left one on a spot.
#[inline(always)]
pub(crate) fn is_there(traces: &Traces, spot: u32) -> bool {
    at(traces, spot).is_none_or(|at| {
        // SAFETY: a byte of a map value.
        let trace = unsafe { at.read_volatile() };
        trace != 0
    })
}

/// Leaves one. Most are there already, and others read what stands around it: so it is written only
/// where there is none.
#[inline(always)]
pub(crate) fn leave(traces: &Traces, spot: u32) {
    let Some(at) = at(traces, spot) else {
        return;
    };
    // SAFETY: a byte of a map value.
    if unsafe { at.read_volatile() } == 0 {
        // SAFETY: as above; nobody writes anything else.
        unsafe { at.write_volatile(1) };
    }
}

#[inline(always)]
fn at(traces: &Traces, spot: u32) -> Option<*mut u8> {
    let page = traces.get_ptr_mut(spot / PAGE_SPOTS)?.cast::<u8>();
    // SAFETY: what is left of the spot is less than the spots of a page.
    Some(unsafe { page.add((spot % PAGE_SPOTS) as usize) })
}
