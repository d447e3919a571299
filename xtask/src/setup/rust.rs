// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pinned toolchain: installed by rustup, and made the checkout's own.

use super::refusal;
use crate::{process, step, toolchain, workspace};
use anyhow::{Context as _, bail};
use std::{path::PathBuf, process::Command};

/// Installs the toolchain if it or one of its components is missing.
pub(super) fn set_up() -> anyhow::Result<()> {
    if !is_there() {
        if !process::is_there("rustup") {
            bail!(
                "rustup is not there, and this project is built with Rust {} and its sources: \
                 install it as https://rustup.rs says, then run this again",
                toolchain::CHANNEL
            );
        }
        step::step(
            &format!("installing Rust {} (700 MB)", toolchain::CHANNEL),
            install,
        )?;
    }
    keep()
}

/// Installs the standard library of the static target if it is missing.
pub(super) fn set_up_static() -> anyhow::Result<()> {
    let target = toolchain::STATIC_TARGET;
    if sysroot()?.join("lib/rustlib").join(target).exists() {
        return Ok(());
    }
    step::step(&format!("installing {target} (180 MB)"), || {
        let mut rustup = Command::new("rustup");
        rustup.args(["target", "add", "--toolchain", toolchain::CHANNEL, target]);
        process::run_shown(&mut rustup).map_err(refusal::explain)
    })
}

/// Installs LLVM's own programs, of the compiler's release, if they are missing; where they are.
pub(super) fn set_up_llvm_tools() -> anyhow::Result<PathBuf> {
    if let Some(folder) = llvm_tools()? {
        return Ok(folder);
    }
    step::step("installing llvm-tools (150 MB)", || {
        let mut rustup = Command::new("rustup");
        rustup.args(["component", "add", "--toolchain", toolchain::CHANNEL]);
        rustup.arg("llvm-tools");
        process::run_shown(&mut rustup).map_err(refusal::explain)
    })?;
    llvm_tools()?.context("rustup has installed llvm-tools, and there is no llvm-cov")
}

/// The folder of `llvm-cov`, in the toolchain's folder for its own target.
fn llvm_tools() -> anyhow::Result<Option<PathBuf>> {
    let targets = std::fs::read_dir(sysroot()?.join("lib/rustlib"))?;
    let mut folders = targets.filter_map(|target| Some(target.ok()?.path().join("bin")));
    Ok(folders.find(|folder| folder.join("llvm-cov").is_file()))
}

/// The pinned toolchain's own folder.
pub(super) fn sysroot() -> anyhow::Result<PathBuf> {
    let path = process::output(rustc().args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(path.trim()))
}

/// `rustc -vV`: the release, the commit and the LLVM inside.
pub(super) fn version() -> anyhow::Result<String> {
    process::output(rustc().arg("-vV"))
}

fn rustc() -> Command {
    let mut rustc = toolchain::tool("rustc");
    // Asking must not install: rustup would take its own profile, and say nothing.
    rustc.env("RUSTUP_AUTO_INSTALL", "0");
    rustc
}

fn is_there() -> bool {
    let parts = [
        "bin/rustfmt",
        "bin/cargo-clippy",
        "lib/rustlib/src/rust/library/core",
    ];
    sysroot().is_ok_and(|sysroot| parts.iter().all(|part| sysroot.join(part).exists()))
}

fn install() -> anyhow::Result<()> {
    let mut rustup = Command::new("rustup");
    // Replacing the machine's rustup is not ours to do.
    rustup.args([
        "toolchain",
        "install",
        toolchain::CHANNEL,
        "--no-self-update",
    ]);
    rustup.args([
        "--profile",
        "minimal",
        "--component",
        &toolchain::COMPONENTS.join(","),
    ]);
    process::run_shown(&mut rustup).map_err(refusal::explain)?;
    if !is_there() {
        bail!(
            "rustup has installed Rust {}, but parts of it are missing",
            toolchain::CHANNEL
        );
    }
    Ok(())
}

/// Writes `rust-toolchain.toml`, so that plain `cargo build` and editors use the pin as well.
fn keep() -> anyhow::Result<()> {
    let path = workspace::root().join("rust-toolchain.toml");
    let wanted = toolchain::file();
    if std::fs::read_to_string(&path).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    std::fs::write(&path, wanted).with_context(|| format!("cannot write {}", path.display()))
}
