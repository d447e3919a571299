// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pin: which compiler and which BPF linker build this project. It stands here and nowhere
//! else; `cargo xtask setup` writes the git-ignored `rust-toolchain.toml` from it.
//!
//! A pinned toolchain cannot stand in a committed `rust-toolchain.toml`: where rustup does not
//! install by itself (`RUSTUP_AUTO_INSTALL=0`), that file would keep even xtask from starting.

use crate::workspace;
use std::process::Command;

/// The Rust release. aya 0.16 asks for 1.98, and its LLVM (22.1.8) is the one that Debian ships,
/// which leaves a second way to a matching linker.
pub(crate) const CHANNEL: &str = "1.98.0";

/// What the minimal profile lacks: sources to build `core` for BPF from, and the two checkers.
pub(crate) const COMPONENTS: [&str; 3] = ["rust-src", "rustfmt", "clippy"];

/// What a program without any library of the system is built for.
pub(crate) const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";

/// The release of `bpf-linker`; from 0.13 on it can link the kernel's own functions.
pub(crate) const BPF_LINKER: &str = "0.13.0";

/// The release of `cargo-deny`.
pub(crate) const CARGO_DENY: &str = "0.20.2";

/// A Rust tool (`cargo`, `rustc`) of the pinned toolchain, started at the root of the workspace.
pub(crate) fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.current_dir(workspace::root());
    // What the cargo that started us says of xtask is not true of what we start, and would make
    // build scripts run again.
    for (key, _) in std::env::vars_os() {
        let of_xtask = key.to_str().is_some_and(|key| {
            key == "CARGO" || key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_")
        });
        if of_xtask {
            command.env_remove(key);
        }
    }
    command.env("RUSTUP_TOOLCHAIN", CHANNEL);
    command
}

/// A verb of cargo for all crates but `lb-ebpf`, which builds for BPF alone. The same selection for
/// every verb: cargo unifies features over it, and another one would build dependencies again.
pub(crate) fn cargo(verb: &str) -> Command {
    let mut cargo = tool("cargo");
    cargo.args([verb, "--workspace", "--exclude", "lb-ebpf"]);
    cargo
}

/// `rust-toolchain.toml` with this pin, so that plain `cargo build` and editors use it too.
pub(crate) fn file() -> String {
    let components = COMPONENTS
        .map(|component| format!("\"{component}\""))
        .join(", ");
    format!(
        "# Written by `cargo xtask setup`; the pin stands in xtask/src/toolchain.rs.\n\
         [toolchain]\n\
         channel = \"{CHANNEL}\"\n\
         components = [{components}]\n\
         profile = \"minimal\"\n"
    )
}
