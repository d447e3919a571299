// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Flows that the kernel had no timer for, in a queue that new flows look through.
//!
//! `bpf_timer_init` allocates without waiting, and fails when many flows begin at once (measured
//! on 6.18: 1,856 of 2,000). Such flows end when others come: each new one of their kind looks
//! after more than one, so the queue cannot fill with flows that have ended.

use crate::{
    clock,
    maps::{ASKED, FamilyMaps},
    timer::end_if_due,
};
use aya_ebpf::{
    cty::{c_long, c_void},
    helpers::generated::bpf_loop,
};
use lb_common::{
    family::{V4, V6},
    wire::{Orphan, Tuple},
};

/// How many orphans are looked after when there is a new one.
const FEW: u32 = 16;
/// How many are looked after when there was no room for a flow.
const MANY: u32 = 256;

/// Notes a flow without a timer; a few others are looked after before the run ends.
#[inline(always)]
pub(crate) fn note<F: FamilyMaps>(key: &Tuple<F::Address>, born_ns: u64) {
    let orphan = Orphan {
        born_ns: born_ns.to_ne_bytes(),
        key: *key,
    };
    // There is as much room as for flows, and each is in the queue once.
    let _ = F::orphans().push(&orphan, 0);
    ask(FEW);
}

/// There was no room for a flow: before the run ends, room is made for the next, if orphans have
/// ended.
#[inline(always)]
pub(crate) fn make_room() {
    ask(MANY);
}

/// Looks after as many orphans as were asked for. Not where that is asked: there the stack is too
/// deep already.
#[inline(always)]
pub(crate) fn attend() {
    if clock::is_injected() {
        return;
    }
    let Some(asked) = ASKED.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: this processor's own element, and programs are not interrupted by themselves.
    let count = unsafe { *asked };
    if count != 0 {
        // SAFETY: as above.
        unsafe { *asked = 0 };
        look_through::<V4>(count);
        look_through::<V6>(count);
    }
}

#[inline(always)]
fn ask(count: u32) {
    if let Some(asked) = ASKED.get_ptr_mut(0) {
        // SAFETY: this processor's own element, and programs are not interrupted by themselves.
        unsafe { *asked = count };
    }
}

#[inline(always)]
fn look_through<F: FamilyMaps>(count: u32) {
    let look = look_after::<F> as *mut c_void;
    // SAFETY: the callback has the signature that the kernel calls, as the verifier checks.
    unsafe { bpf_loop(count, look, core::ptr::null_mut(), 0) };
}

/// The first orphan of the queue ends or goes to its other end; 1 means that there is none.
extern "C" fn look_after<F: FamilyMaps>(_index: u32, _context: *mut c_void) -> c_long {
    let Ok(Some(orphan)) = F::orphans().pop() else {
        return 1;
    };
    let Some(flow) = F::flows().get_ptr_mut(&orphan.key) else {
        return 0;
    };
    // SAFETY: a map value stays readable while the program runs. A copy would take too much of the
    // stack; if the element is reused meanwhile, its `born_ns` is another one.
    let flow = unsafe { &*flow };
    let same = flow.born_ns == u64::from_ne_bytes(orphan.born_ns);
    if same && end_if_due::<F>(&orphan.key, flow).is_some() {
        let _ = F::orphans().push(&orphan, 0);
    }
    0
}
