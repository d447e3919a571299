// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: the bench, built as what is shipped is built, and then put in our place.
//!
//! It is the binary `weiche-bench` (tests/bench); nothing of it is known here.

use crate::{build, process, setup, workspace};
use anyhow::Context as _;
use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

/// Becomes the bench, so that signals reach it and its exit status is ours.
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<()> {
    process::need_root(
        "bench",
        "it makes BPF maps and network namespaces, and loads rules in them",
    )?;
    setup::tools()?;
    setup::packages(setup::Use::Test)?;
    build::bench()?;
    let folder = workspace::target().join("release");
    // Whatever else runs on the machine gets what is left. A high niceness would not do: it counts
    // within a session only (sched_autogroup).
    let mut bench = Command::new("chrt");
    bench.args(["--rr", "1"]).arg(folder.join("weiche-bench"));
    bench.arg("--weiche").arg(folder.join("weiche"));
    bench.arg("--out").arg(workspace::target().join("bench"));
    bench.env("WEICHE_NSD", setup::name_server());
    bench.args(arguments);
    Err(bench.exec()).with_context(|| format!("cannot start `{}`", process::written(&bench)))
}
