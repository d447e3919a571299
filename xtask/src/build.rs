// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask build`: `weiche`, the BPF object inside it, and the demo.

use crate::{process, setup, step, toolchain, workspace};

/// Builds; sets up first what is missing for it.
pub(crate) fn run(release: bool, is_static: bool) -> anyhow::Result<()> {
    setup::tools()?;
    if is_static {
        setup::static_target()?;
        return static_binary(release);
    }
    binaries(release)
}

/// Builds `weiche` alone, without any library of the system: for an empty image.
fn static_binary(release: bool) -> anyhow::Result<()> {
    let target = toolchain::STATIC_TARGET;
    step::step("building a static weiche", || {
        let mut cargo = toolchain::tool("cargo");
        cargo.args(["build", "--package", "lb-userspace", "--bin", "weiche"]);
        cargo.args(["--target", target]);
        if release {
            cargo.arg("--release");
        }
        // ring has parts in C and assembler that use nothing of a C library; without this, they
        // are compiled by `musl-gcc`, which few machines have.
        cargo.env("CC_x86_64_unknown_linux_musl", "cc");
        process::run(&mut cargo)
    })?;
    let profile = if release { "release" } else { "debug" };
    let path = workspace::target().join(target).join(profile);
    println!("==> {}", path.join("weiche").display());
    Ok(())
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

/// Builds what the bench needs, as it is shipped.
pub(crate) fn bench() -> anyhow::Result<()> {
    step::step("building weiche and the bench, with optimisations", || {
        let mut cargo = toolchain::cargo("build");
        cargo.args(["--release", "--bin", "weiche", "--bin", "weiche-bench"]);
        process::run(&mut cargo)
    })
}
