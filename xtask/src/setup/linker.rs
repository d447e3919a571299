// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bpf-linker`, linked against the LLVM inside the pinned compiler.
//!
//! The toolchain ships `libLLVM.so` with the whole C API and the BPF target, so the linker's LLVM
//! is the compiler's own by construction, and no LLVM of the system is needed.

use super::{cargo_install, rust};
use crate::{step, toolchain, workspace};
use anyhow::Context as _;
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Builds the linker if it is missing, of another release, or made for another compiler.
pub(super) fn set_up() -> anyhow::Result<()> {
    let tools = workspace::tools();
    fs::create_dir_all(&tools).with_context(|| format!("cannot make {}", tools.display()))?;
    // The linker finds its LLVM by an absolute path.
    let tools = tools.canonicalize()?;
    let version = rust::version()?;
    let wanted = format!(
        "bpf-linker {} in {}\n{version}",
        toolchain::BPF_LINKER,
        tools.display()
    );
    let stamp = tools.join("bpf-linker.stamp");
    let fits = fs::read_to_string(&stamp).is_ok_and(|made_for| made_for == wanted);
    if fits && tools.join("bin/bpf-linker").is_file() && llvm(&tools).join("libLLVM.so").exists() {
        return Ok(());
    }
    let name = format!(
        "building bpf-linker {} (about a minute)",
        toolchain::BPF_LINKER
    );
    step::step(&name, || {
        link_llvm(&tools)?;
        install(&tools, &major(&version)?)?;
        fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
    })
}

fn llvm(tools: &Path) -> PathBuf {
    tools.join("llvm/lib")
}

/// Puts the compiler's LLVM where the linker's build looks for one.
fn link_llvm(tools: &Path) -> anyhow::Result<()> {
    let folder = llvm(tools);
    fs::create_dir_all(&folder)?;
    let lib = rust::sysroot()?.join("lib");
    let library = fs::read_dir(&lib)?
        .filter_map(Result::ok)
        .find(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("libLLVM.so.")
        })
        .with_context(|| format!("no libLLVM.so.* in {}", lib.display()))?;
    // One name for the build, one for the run.
    for name in [library.file_name(), "libLLVM.so".into()] {
        let link = folder.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(library.path(), &link)
            .with_context(|| format!("cannot make {}", link.display()))?;
    }
    Ok(())
}

fn install(tools: &Path, llvm_major: &str) -> anyhow::Result<()> {
    let mut cargo = cargo_install::command(tools, "bpf-linker", toolchain::BPF_LINKER)?;
    cargo.args([
        "--no-default-features",
        "--features",
        &format!("llvm-{llvm_major}"),
    ]);
    cargo.env("LLVM_PREFIX", tools.join("llvm"));
    cargo_install::run(tools, cargo)
}

/// `LLVM version: 22.1.8` → `22`, which names the linker's feature.
fn major(version: &str) -> anyhow::Result<String> {
    version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next())
        .map(str::to_owned)
        .context("rustc does not say which LLVM it has")
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn the_major_release_of_llvm_is_read_from_rustc() {
        assert_eq!(
            major("release: 1.98.0\nLLVM version: 22.1.8\n")
                .ok()
                .as_deref(),
            Some("22")
        );
        assert!(major("release: 1.98.0\n").is_err());
    }
}
