// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds of the programs from changed sources: proof that a test notices what it is there for.
//!
//! The sources are copied, changed and built as `lb-userspace/build.rs` builds them. A change that
//! does not find the text it replaces is an error: it has to follow the code.

use anyhow::{Context as _, Result, ensure};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// One change of the sources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// The file, from the root of the repository.
    pub(crate) file: &'static str,
    /// What stands there, exactly once.
    pub(crate) sound: &'static str,
    /// What to put there instead.
    pub(crate) broken: &'static str,
}

/// Builds the programs with some changes.
pub(crate) fn build(changes: &[Change]) -> Result<Vec<u8>> {
    static BENCH: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BENCH.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Below target/, so that the linker of .cargo/config.toml is found.
    let bench = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workshop");
    copy_sources(&root, &bench)?;
    changes
        .iter()
        .try_for_each(|change| apply(&bench, change))?;
    compile(&bench)?;
    let object = bench
        .join("target")
        .join(target())
        .join("release/weiche-bpf");
    fs::read(&object).with_context(|| format!("reading {}", object.display()))
}

/// The two crates that the object is made of, in a workspace of their own.
fn copy_sources(root: &Path, bench: &Path) -> Result<()> {
    for part in ["lb-common", "lb-ebpf"] {
        let place = bench.join(part);
        if place.exists() {
            fs::remove_dir_all(&place).with_context(|| format!("clearing {}", place.display()))?;
        }
        copy(&root.join(part), &place)?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let manifest = manifest
        .lines()
        .filter(|line| !line.starts_with("default-members"));
    let manifest = manifest.map(|line| {
        let is_list = line.starts_with("members");
        if is_list {
            "members = [\"lb-common\", \"lb-ebpf\"]"
        } else {
            line
        }
    });
    let lines: Vec<_> = manifest.collect();
    fs::write(bench.join("Cargo.toml"), lines.join("\n"))?;
    fs::copy(root.join("Cargo.lock"), bench.join("Cargo.lock"))?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to).with_context(|| format!("copying {}", from.display()))?;
        }
    }
    Ok(())
}

fn apply(bench: &Path, change: &Change) -> Result<()> {
    let file = bench.join(change.file);
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", change.file))?;
    let found = text.matches(change.sound).count();
    ensure!(
        found == 1,
        "{} holds {:?} {found} times, not once",
        change.file,
        change.sound
    );
    Ok(fs::write(&file, text.replace(change.sound, change.broken))?)
}

/// The nested build of `aya_build::build_ebpf`, which can be called from build scripts only.
fn compile(bench: &Path) -> Result<()> {
    let flags = [
        format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
    ];
    let cargo = PathBuf::from(env!("CARGO"));
    let output = Command::new(&cargo)
        .current_dir(bench)
        .args([
            "build",
            "--offline",
            "--release",
            "--package",
            "lb-ebpf",
            "--bins",
        ])
        .args([
            "-Z",
            "build-std=core",
            "--target",
            target(),
            "--target-dir",
            "target",
        ])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("RUSTC", cargo.with_file_name("rustc"))
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .output()
        .with_context(|| format!("starting {}", cargo.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "building in {}: {errors}",
        bench.display()
    );
    Ok(())
}

fn target() -> &'static str {
    if cfg!(target_endian = "big") {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    }
}
