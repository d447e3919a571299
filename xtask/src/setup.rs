// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask setup`: everything that the other verbs need and the machine lacks.
//!
//! Each part looks first whether it is there, so a second run takes a fraction of a second; the
//! other verbs call the parts that they need.

mod kernels;
mod cargo_install;
mod deny;
mod linker;
mod name_server;
mod packages;
mod refusal;
mod rust;

pub(crate) use name_server::folder as name_server;
pub(crate) use packages::Use;

use crate::step;
use std::path::PathBuf;

/// Everything.
pub(crate) fn run() -> anyhow::Result<()> {
    let watch = step::Stopwatch::start();
    tools()?;
    deny()?;
    packages(Use::Run)?;
    packages(Use::Test)?;
    println!(
        "==> set-up is complete ({})",
        step::seconds(watch.elapsed())
    );
    Ok(())
}

/// What building needs: the toolchain and the BPF linker, both in the user's own folders.
pub(crate) fn tools() -> anyhow::Result<()> {
    rust::set_up()?;
    linker::set_up()
}

/// What `cargo xtask build --static` needs besides.
pub(crate) fn static_target() -> anyhow::Result<()> {
    rust::set_up_static()
}

/// What `cargo xtask coverage` needs besides: the folder of programs that read what was counted.
pub(crate) fn llvm_tools() -> anyhow::Result<PathBuf> {
    rust::set_up()?;
    rust::set_up_llvm_tools()
}

/// What `cargo xtask lint` needs besides.
pub(crate) fn deny() -> anyhow::Result<()> {
    deny::set_up()
}

/// Programs of the system, and for tests other kernels.
pub(crate) fn packages(purpose: Use) -> anyhow::Result<()> {
    packages::set_up(purpose)?;
    match purpose {
        Use::Run => Ok(()),
        Use::Test => {
            kernels::set_up()?;
            name_server::set_up()
        }
    }
}
