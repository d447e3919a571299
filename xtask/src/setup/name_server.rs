// SPDX-License-Identifier: MIT OR Apache-2.0
//! nsd, which the bench measures our names beside: Debian's, fetched and unpacked into
//! `.tools/nsd/`. It is not installed, as its package would start it on this machine.

use super::packages;
use crate::{process, step, workspace};
use anyhow::Context as _;
use std::{fs, path::PathBuf, process::Command};

const PACKAGE: &str = "nsd";

/// Where it is unpacked.
pub(crate) fn folder() -> PathBuf {
    workspace::tools().join(PACKAGE)
}

/// Fetches it if it is missing.
pub(super) fn set_up() -> anyhow::Result<()> {
    let folder = folder();
    if folder.exists() {
        return Ok(());
    }
    step::step("fetching nsd for the bench (3 MB)", || {
        // Where apt has never been asked, it knows no package.
        let libraries = libraries().or_else(|_unknown| {
            packages::update()?;
            libraries()
        })?;
        let scratch = workspace::tools().join("nsd.new");
        if scratch.exists() {
            fs::remove_dir_all(&scratch)?;
        }
        let made = fs::create_dir_all(&scratch);
        made.with_context(|| format!("cannot make {}", scratch.display()))?;
        let mut names = vec![PACKAGE];
        names.extend(libraries.iter().map(String::as_str));
        packages::unpack(&names, &scratch)?;
        // In one step, so that a set-up that was broken off is noticed.
        Ok(fs::rename(&scratch, folder)?)
    })
}

/// The libraries that it needs, but for the C library, which is there.
fn libraries() -> anyhow::Result<Vec<String>> {
    let said = process::output(Command::new("apt-cache").args(["depends", PACKAGE]))?;
    let depends = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    let libraries = depends.filter(|name| name.starts_with("lib") && *name != "libc6");
    let libraries: Vec<String> = libraries.map(str::to_owned).collect();
    anyhow::ensure!(!libraries.is_empty(), "apt knows no package {PACKAGE}");
    Ok(libraries)
}
