// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that cargo builds from the registry, into `.tools/bin` and nowhere else.

use super::refusal;
use crate::{process, toolchain, workspace};
use anyhow::Context as _;
use std::{fs, path::Path, process::Command};

/// `cargo install` of one release of a program; further arguments and variables may be added.
pub(super) fn command(tools: &Path, name: &str, version: &str) -> anyhow::Result<Command> {
    let mut cargo = toolchain::tool("cargo");
    cargo
        .args([
            "install",
            name,
            "--version",
            version,
            "--locked",
            "--force",
            "--root",
        ])
        .arg(tools);
    cargo.env("CARGO_TARGET_DIR", tools.join("build"));
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    // Else cargo advises to put the folder there, which nobody needs.
    cargo.env("PATH", workspace::path_with_tools()?);
    Ok(cargo)
}

/// Builds and installs it, and takes away what the build leaves.
pub(super) fn run(tools: &Path, mut cargo: Command) -> anyhow::Result<()> {
    process::run_shown(&mut cargo).map_err(refusal::explain)?;
    let scratch = tools.join("build");
    fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))
}
