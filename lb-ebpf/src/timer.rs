// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Expiry without an agent: each flow's own timer in the kernel.

use crate::{
    clock::now_ns,
    maps::{FamilyMaps, NODE},
    snapshot::copy_words,
    tables::FLOW_WORDS,
};
use aya_ebpf::{
    bindings::bpf_timer,
    cty::{c_int, c_void},
    helpers::generated::{bpf_timer_init, bpf_timer_set_callback, bpf_timer_start},
};
use core::mem::offset_of;
use lb_common::{
    conntrack::{self, Target},
    wire::{Flow, Reverse, Tuple},
};

/// `CLOCK_MONOTONIC` of `uapi/linux/time.h`.
const CLOCK_MONOTONIC: u64 = 1;

/// Starts the timer of a flow that was just made. It fires after `delay_ns`. `false` means that
/// the kernel has none to give now.
#[inline(always)]
#[must_use]
pub(crate) fn arm<F: FamilyMaps>(flow: *mut Flow, delay_ns: u64) -> bool {
    let timer = timer_of(flow);
    let map = core::ptr::from_ref(F::flows()).cast_mut().cast::<c_void>();
    // SAFETY: the timer is part of a value of that very map, as the verifier checks.
    if unsafe { bpf_timer_init(timer, map, CLOCK_MONOTONIC) } != 0 {
        return false;
    }
    let callback = expire::<F> as *mut c_void;
    // SAFETY: the callback has the signature that the kernel calls, as the verifier checks.
    unsafe { bpf_timer_set_callback(timer, callback) };
    start(timer, delay_ns);
    true
}

/// Moves the timer of a flow whose life has been shortened.
#[inline(always)]
pub(crate) fn rearm(flow: *mut Flow, delay_ns: u64) {
    start(timer_of(flow), delay_ns);
}

/// The timer has fired: the flow has lived on meanwhile, or both entries go.
extern "C" fn expire<F: FamilyMaps>(
    _map: *mut c_void,
    key: *mut Tuple<F::Address>,
    flow: *mut Flow,
) -> c_int {
    let mut copy = Flow::default();
    // SAFETY: the kernel hands over the value that the timer belongs to.
    unsafe { copy_words::<Flow, FLOW_WORDS>(flow, &mut copy) };
    // SAFETY: the kernel hands over the key of the element that the timer belongs to.
    let key = unsafe { *key };
    if let Some(delay_ns) = end_if_due::<F>(&key, &copy) {
        start(timer_of(flow), delay_ns);
    }
    0
}

/// Takes both entries of a flow away if that is due; else says in how many nanoseconds it is.
#[inline(always)]
pub(crate) fn end_if_due<F: FamilyMaps>(key: &Tuple<F::Address>, flow: &Flow) -> Option<u64> {
    let node = NODE.get(0)?;
    let due = conntrack::due(flow, now_ns(), &node.timeouts);
    if due.is_some() {
        return due;
    }
    let mut reverse_key = *key;
    conntrack::write_reverse_key::<F>(&mut reverse_key, key, &Target::of(flow));
    let own = F::reverses().get_ptr_mut(&reverse_key).is_some_and(|at| {
        let born_ns = at
            .cast::<u64>()
            .wrapping_byte_add(offset_of!(Reverse, born_ns));
        // SAFETY: an aligned word of a map value; a whole copy would take too much of the stack.
        (unsafe { born_ns.read_volatile() }) == flow.born_ns
    });
    if own {
        let _ = F::reverses().remove(&reverse_key);
    }
    let _ = F::flows().remove(key);
    None
}

#[inline(always)]
fn timer_of(flow: *mut Flow) -> *mut bpf_timer {
    flow.wrapping_byte_add(offset_of!(Flow, timer)).cast()
}

#[inline(always)]
fn start(timer: *mut bpf_timer, delay_ns: u64) {
    // SAFETY: the timer is part of a map value, as the verifier checks.
    unsafe { bpf_timer_start(timer, delay_ns, 0) };
}
