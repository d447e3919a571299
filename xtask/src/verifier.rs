// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask verifier`: how many instructions the kernel's verifier walks for each program.
//!
//! The tests load, count and compare: tests/datapath/verifier.rs on this kernel, tests/kernels on
//! others.

use crate::test::{self, Manner};

/// Shows the counts and compares them with `tests/datapath/verifier.expect`; with `bless`, rewrites
/// that file, on this kernel and on those of the kernel matrix.
pub(crate) fn run(bless: bool) -> anyhow::Result<()> {
    let manner = Manner {
        bless,
        shown: true,
        ..Manner::default()
    };
    let here = "datapath::verifier";
    let names: &[&str] = if bless { &[here, "kernels"] } else { &[here] };
    test::run(manner, names).map(drop)
}
