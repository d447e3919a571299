// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! Expiry without an agent: the node's only timer, which the agent starts once and which the pinned
//! map keeps from then on. What it does when it fires is `lb_common::expiry`'s.

use crate::{
    clock,
    maps::{FamilyMaps, FrameUse, ROUND, SWEEP, frames},
    tables::KernelTables,
};
use aya_ebpf::{
    bindings::bpf_timer,
    cty::{c_int, c_long, c_void},
    helpers::generated::{bpf_loop, bpf_timer_init, bpf_timer_set_callback, bpf_timer_start},
};
use lb_common::{
    expiry::{self, BATCH},
    family::{V4, V6},
    wire::{Round, Sweep},
};

/// `CLOCK_MONOTONIC` of `uapi/linux/time.h`.
const CLOCK_MONOTONIC: u64 = 1;
/// `-ENOENT` of `uapi/asm-generic/errno-base.h`.
const ENOENT: i64 = -2;
/// `-EBUSY`, likewise: the timer was there before.
const EBUSY: i64 = -16;

/// Starts the timer with this program's callback, also where an older program has started it; 0,
/// or the kernel's error. Where a test says what time it is, no timer would know: one sweep is made
/// at once.
#[inline(always)]
pub(crate) fn start() -> i64 {
    if clock::is_injected() {
        go_through::<V4>();
        go_through::<V6>();
        return 0;
    }
    let Some(sweep) = SWEEP.get_ptr_mut(0) else {
        return ENOENT;
    };
    let timer = sweep.cast::<bpf_timer>();
    let map = core::ptr::from_ref(&SWEEP).cast_mut().cast::<c_void>();
    // SAFETY: the timer is part of a value of that very map, as the verifier checks.
    let error = unsafe { bpf_timer_init(timer, map, CLOCK_MONOTONIC) };
    if error != 0 && error != EBUSY {
        return error;
    }
    let callback = on_time as *mut c_void;
    // SAFETY: the callback has the signature that the kernel calls, as the verifier checks.
    let error = unsafe { bpf_timer_set_callback(timer, callback) };
    if error != 0 {
        return error;
    }
    start_timer(timer, expiry::pause_ns(&Round::default()))
}

/// The timer has fired.
extern "C" fn on_time(_map: *mut c_void, _index: *mut u32, sweep: *mut Sweep) -> c_int {
    let (v4, v6) = (go_through::<V4>(), go_through::<V6>());
    start_timer(sweep.cast(), v4.min(v6));
    0
}

/// Sweeps a family, and says how long the next sweep may wait.
#[inline(always)]
fn go_through<F: FamilyMaps>() -> u64 {
    if let Some(round) = round() {
        *round = Round::default();
    }
    let visit = visit::<F> as *mut c_void;
    // SAFETY: the callback has the signature that the kernel calls, as the verifier checks.
    unsafe { bpf_loop(BATCH, visit, core::ptr::null_mut(), 0) };
    round().map_or(u64::MAX, |round| expiry::pause_ns(round))
}

/// One entry of the queue; 1 ends the loop.
extern "C" fn visit<F: FamilyMaps>(_index: u32, _context: *mut c_void) -> c_long {
    let parts = (round(), frames(FrameUse::Sweep), KernelTables::new());
    let (Some(round), Some(frames), Some(mut tables)) = parts else {
        return 1;
    };
    let visited = expiry::visit::<F, _>(&mut tables, round, F::frame(frames));
    c_long::from(visited.is_break())
}

/// In the map, where the verifier knows no value: a count on the stack that begins with zero may be
/// followed through every turn of the loop. Looked up anew, because `bpf_loop` hands on pointers to
/// the stack only (`ARG_PTR_TO_STACK_OR_NULL`).
#[inline(always)]
fn round() -> Option<&'static mut Round> {
    let at = ROUND.get_ptr_mut(0)?;
    // SAFETY: a map value, and the timer runs on one processor at a time.
    Some(unsafe { &mut *at })
}

#[inline(always)]
fn start_timer(timer: *mut bpf_timer, delay_ns: u64) -> i64 {
    // SAFETY: the timer is part of a map value, as the verifier checks.
    unsafe { bpf_timer_start(timer, delay_ns, 0) }
}
