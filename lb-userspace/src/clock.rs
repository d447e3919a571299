// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only place that asks the time. Everything that decides gets it as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// `CLOCK_MONOTONIC` in nanoseconds: the clock that the packet path stamps flows with
/// (`bpf_ktime_get_ns`), so both can be compared.
pub fn monotonic_ns() -> u64 {
    reading_ns(ClockId::Monotonic)
}

/// The runtime's clock, which sleeping goes by as well: tests can make it a virtual one.
pub fn runtime() -> Instant {
    Instant::now()
}

/// Seconds since 1970, for people; never for deciding.
pub fn unix_s() -> u64 {
    unix_ns() / 1_000_000_000
}

/// How long the calling thread has kept a processor busy, in nanoseconds: what it has cost, however
/// long it had to wait for one.
pub fn thread_cpu_ns() -> u64 {
    reading_ns(ClockId::ThreadCPUTime)
}

fn reading_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// Nanoseconds since 1970, for people; never for deciding.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that may ask"
)]
pub fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}
