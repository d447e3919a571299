// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask verifier`: how many instructions the kernel's verifier walks for each program.
//!
//! The test `verifier` of the suite `datapath` loads and compares; see tests/datapath/verifier.rs.

/// Compares with `tests/datapath/verifier.expect`, or rewrites it.
pub(crate) fn run(_bless: bool) -> anyhow::Result<()> {
    anyhow::bail!("there is no BPF program to load yet")
}
