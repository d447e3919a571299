// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo-deny`, which `cargo xtask lint` asks for licences, sources and bans.

use super::cargo_install;
use crate::{process, step, toolchain, workspace};
use std::{fs, process::Command};

/// Builds it if it is missing or of another release.
pub(super) fn set_up() -> anyhow::Result<()> {
    let tools = workspace::tools();
    let said = process::output(Command::new(tools.join("bin/cargo-deny")).arg("--version"));
    if said.is_ok_and(|said| said.trim() == format!("cargo-deny {}", toolchain::CARGO_DENY)) {
        return Ok(());
    }
    step::step(
        &format!(
            "building cargo-deny {} (two minutes)",
            toolchain::CARGO_DENY
        ),
        || {
            fs::create_dir_all(&tools)?;
            let tools = tools.canonicalize()?;
            let mut cargo = cargo_install::command(&tools, "cargo-deny", toolchain::CARGO_DENY)?;
            // It runs for a second: building it fast counts for more than how fast it is.
            cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
            cargo.env("CARGO_PROFILE_RELEASE_LTO", "off");
            cargo_install::run(&tools, cargo)
        },
    )
}
