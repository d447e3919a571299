// SPDX-License-Identifier: GPL-2.0-only OR MIT OR Apache-2.0
//! What time it is: the kernel's clock, or a test's.

use crate::maps::CLOCK;
use aya_ebpf::helpers::generated::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns};

/// Set to 1 at load by tests, which then set the time in the map `CLOCK`. A constant for the
/// verifier, which drops the branch that is not taken.
#[unsafe(no_mangle)]
static INJECTED_CLOCK: u32 = 0;

/// Now, `CLOCK_MONOTONIC` in nanoseconds.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    if is_injected() {
        return CLOCK.get(0).copied().unwrap_or(0);
    }
    // SAFETY: the helper takes nothing and always works.
    unsafe { bpf_ktime_get_ns() }
}

/// The time of the kernel's last tick.
#[inline(always)]
pub(crate) fn about_now_ns() -> u64 {
    if is_injected() {
        return now_ns();
    }
    // SAFETY: the helper takes nothing and always works.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// Whether a test says what time it is. No time passes then, so nothing ends by itself.
#[inline(always)]
pub(crate) fn is_injected() -> bool {
    // SAFETY: a plain static; volatile because the loader writes it behind the compiler's back.
    let injected = unsafe { core::ptr::read_volatile(&raw const INJECTED_CLOCK) };
    injected != 0
}
