// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask build`: `weiche`, the BPF object inside it, and the demo.

use crate::{process, setup, step, toolchain};

/// Builds; sets up first what is missing for it.
pub(crate) fn run(release: bool) -> anyhow::Result<()> {
    setup::tools()?;
    binaries(release)
}

/// Builds, with everything there already.
pub(crate) fn binaries(release: bool) -> anyhow::Result<()> {
    step::step("building weiche and the demo", || {
        let mut cargo = toolchain::cargo("build");
        cargo.arg("--bins");
        if release {
            cargo.arg("--release");
        }
        process::run(&mut cargo)
    })
}
