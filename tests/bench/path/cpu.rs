// SPDX-License-Identifier: MIT OR Apache-2.0
//! One processor, and what threads have used of it.
//!
//! A packet's way over veth is run by whoever sent it, or by the kernel's own thread for such work
//! on that processor (`ksoftirqd`): so the times of client, server and that thread are all there
//! is, as long as the kernel does not take interrupts' time out of threads'
//! (`CONFIG_IRQ_TIME_ACCOUNTING`).

use std::fs;

use anyhow::{Context as _, ensure};
use rustix::{
    thread::{CpuSet, gettid, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// Keeps this thread on one processor.
pub(crate) fn pin(processor: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).with_context(|| format!("staying on processor {processor}"))
}

/// This thread's number for the kernel.
pub(super) fn thread_id() -> i32 {
    gettid().as_raw_nonzero().get()
}

/// What this thread has used, in nanoseconds.
pub(crate) fn own_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What another thread that does not run just now has used, in nanoseconds.
pub(crate) fn of_thread_ns(thread: i32) -> anyhow::Result<u64> {
    let path = format!("/proc/{thread}/schedstat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let first = text.split_whitespace().next();
    first
        .and_then(|word| word.parse().ok())
        .with_context(|| format!("{path} has no time"))
}

/// The kernel's own thread for what packets leave to be done on a processor; none where it cannot
/// be seen, as in a PID namespace.
pub(crate) fn kernel_thread(processor: usize) -> anyhow::Result<Option<i32>> {
    let wanted = format!("ksoftirqd/{processor}");
    let mut threads = fs::read_dir("/proc")?.filter_map(|entry| {
        let thread: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{thread}/comm")).ok()?;
        (name.trim() == wanted).then_some(thread)
    });
    Ok(threads.next())
}

/// The last processor: interrupts of devices mostly go to the first.
pub(crate) fn last() -> anyhow::Result<usize> {
    let count = std::thread::available_parallelism()?.get();
    ensure!(count > 0, "there is no processor");
    Ok(count - 1)
}
