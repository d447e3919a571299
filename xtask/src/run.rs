// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask run`: the demo node, built first and then put in our place.
//!
//! The demo itself is the binary `weiche-demo` (tests/demo); nothing of it is known here.

use crate::{build, process, setup, workspace};
use anyhow::Context as _;
use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

/// Becomes the demo, so that signals reach it and its exit status is ours.
pub(crate) fn run(command: &[OsString]) -> anyhow::Result<()> {
    process::need_root(
        "run",
        "the demo node is made of network namespaces and loads BPF programs",
    )?;
    setup::tools()?;
    setup::packages(setup::Use::Run)?;
    build::binaries(false)?;
    let mut demo = Command::new(workspace::binary("weiche-demo"));
    demo.current_dir(workspace::root());
    demo.arg("--weiche").arg(workspace::binary("weiche"));
    if !command.is_empty() {
        demo.arg("--").args(command);
    }
    Err(demo.exec()).with_context(|| format!("cannot start `{}`", process::written(&demo)))
}
