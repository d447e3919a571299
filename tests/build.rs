// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the tests' own BPF objects, which the harness embeds: `$OUT_DIR/road-bpf`, `source-bpf`,
//! `sink-bpf`, `asker-bpf`, `rewinder-bpf`, `empty-bpf` and `early-bpf`. It does as
//! `lb-userspace/build.rs` does with that of `weiche`, which says why.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain, build_ebpf};

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    for name in [
        "road-bpf",
        "source-bpf",
        "sink-bpf",
        "asker-bpf",
        "rewinder-bpf",
        "empty-bpf",
        "early-bpf",
    ] {
        let object = out.join(name);
        if !object.exists() {
            // Replaced below, unless the build is skipped: `include_bytes!` needs a file.
            fs::write(&object, [])?;
        }
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").context(
        "RUSTUP_TOOLCHAIN is not set: build through rustup's cargo, or by `cargo xtask build`",
    )?;
    let programs = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("cargo sets it")?);
    let programs = programs.join("ebpf");
    // SAFETY: a build script's main has started no thread that could read the environment.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    // Cargo would show each line of the nested cargo's progress as a warning, at every build.
    // SAFETY: as above.
    unsafe { env::set_var("CARGO_TERM_QUIET", "true") };
    build_ebpf(
        [Package {
            name: "tests-ebpf",
            root_dir: programs
                .to_str()
                .context("the checkout's path is not UTF-8")?,
            features: &["kernel"],
            ..Package::default()
        }],
        Toolchain::Custom(&toolchain),
    )
    .context("building the tests' BPF programs failed; `cargo xtask setup` installs what it needs")
}
