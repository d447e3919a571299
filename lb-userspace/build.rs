// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds the BPF object, which the program embeds: `$OUT_DIR/weiche-bpf`.
//!
//! Why here: so that plain `cargo build` is enough, and the object always fits the program around
//! it. No object is committed, and none is looked for in `target/`.
//!
//! What is imperfect about it: BPF programs need `core` built for their target, which stable cargo
//! does not do. `RUSTC_BOOTSTRAP=1` unlocks `-Z build-std=core` in the one nested cargo that
//! builds `lb-ebpf`; everything else is built by the stable compiler as it is. The same toolchain
//! builds both, so its LLVM is the one that `bpf-linker` was made for (`cargo xtask setup`).
//!
//! `AYA_BUILD_SKIP=1` leaves the object empty: for quick `cargo check` where no linker is.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain, build_ebpf};

fn main() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    let object = out.join("weiche-bpf");
    if !object.exists() {
        // Replaced below, unless the build is skipped: `include_bytes!` needs a file.
        fs::write(&object, [])?;
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").context(
        "RUSTUP_TOOLCHAIN is not set: build through rustup's cargo, or by `cargo xtask build`",
    )?;
    let programs = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("cargo sets it")?)
        .join("../lb-ebpf");
    // SAFETY: a build script's main has started no thread that could read the environment.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    // Cargo would show each line of the nested cargo's progress as a warning, at every build.
    // SAFETY: as above.
    unsafe { env::set_var("CARGO_TERM_QUIET", "true") };
    build_ebpf(
        [Package {
            name: "lb-ebpf",
            root_dir: programs
                .to_str()
                .context("the checkout's path is not UTF-8")?,
            ..Package::default()
        }],
        Toolchain::Custom(&toolchain),
    )
    .context("building the BPF programs failed; `cargo xtask setup` installs what it needs")
}
