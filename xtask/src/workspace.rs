// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where things are in the checkout.

use anyhow::Context as _;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    // Cargo sets it for `cargo run` and `cargo test`; the other is for a binary started by hand.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().map_or(xtask.clone(), Path::to_path_buf)
}

/// Where cargo builds to.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The git-ignored folder for what set-up makes.
pub(crate) fn tools() -> PathBuf {
    root().join(".tools")
}

/// The PATH, with what set-up has installed in front.
pub(crate) fn path_with_tools() -> anyhow::Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools().join("bin")).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("PATH has a folder with a colon in its name")
}

/// The binary of that name after `cargo build`.
pub(crate) fn binary(name: &str) -> PathBuf {
    target().join("debug").join(name)
}
