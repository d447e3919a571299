// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the guests of the kernel matrix (tests/kernels) are let off: their processor is emulated.

use anyhow::Context as _;
use rustix::process::{Pid, setpriority_process};

/// With this niceness a process has half of the processor beside five others.
const NICENESS: i32 = -7;

/// Whether this is such a guest.
pub fn is_emulated() -> bool {
    std::env::var_os("WEICHE_GUEST").is_some()
}

/// Lets an agent go before a test's own traffic in a guest: there the verifier has a minute's work
/// with our programs, and with an even share of the processor it had not ended after five.
///
/// # Errors
///
/// The kernel's, as that the process is gone.
pub fn hurry(process: u32) -> anyhow::Result<()> {
    if is_emulated() {
        let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
        setpriority_process(Some(pid.context("no process")?), NICENESS)?;
    }
    Ok(())
}
