// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask lint`: what rustfmt, clippy and cargo-deny have to say, on both targets.

use crate::{process, setup, step, toolchain, workspace};
use std::process::Command;

/// Stops at the first that finds something.
pub(crate) fn run() -> anyhow::Result<()> {
    setup::tools()?;
    setup::deny()?;
    step::step("formatting", || {
        process::run(toolchain::tool("cargo").args(["fmt", "--check"]))
    })?;
    step::step("clippy for the host", || process::run(&mut clippy_host()))?;
    step::step("clippy for BPF", || process::run(&mut clippy_bpf()))?;
    step::step("licences, sources and bans", || process::run(&mut deny()?))
}

fn clippy_host() -> Command {
    let mut cargo = toolchain::cargo("clippy");
    cargo.args(["--all-targets", "--", "-D", "warnings"]);
    cargo
}

fn clippy_bpf() -> Command {
    let mut cargo = toolchain::tool("cargo");
    cargo.args([
        "clippy",
        "--package",
        "lb-ebpf",
        "--package",
        "tests-ebpf",
        "--features",
        "tests-ebpf/kernel",
        "--target",
        "bpfel-unknown-none",
    ]);
    cargo.args(["-Z", "build-std=core", "--", "-D", "warnings"]);
    // `-Z build-std` on a stable compiler; in a target folder of its own, because build scripts
    // run again when the variable changes.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_TARGET_DIR", workspace::target().join("bpf"));
    cargo
}

/// Licences, sources and bans of `deny.toml`.
fn deny() -> anyhow::Result<Command> {
    let mut cargo = toolchain::tool("cargo");
    cargo.env("PATH", workspace::path_with_tools()?);
    cargo.args([
        "deny",
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]);
    Ok(cargo)
}
