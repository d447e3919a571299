// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels that the suite `kernels` boots in a virtual machine: Debian's, fetched and unpacked into
//! `.tools/kernels/<series>/`, never installed.

use super::packages;
use crate::{process, step, workspace};
use anyhow::{Context as _, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A series, and the package that depends on its newest kernel.
const SERIES: &[(&str, &str)] = &[
    ("6.1", "linux-image-cloud-amd64"),
    ("6.12", "linux-image-6.12-cloud-amd64"),
];

/// What these kernels have as modules and the tests need.
const MODULES: &[&str] = &["veth", "sch_ingress", "cls_bpf"];

/// Fetches the kernels that are missing.
pub(super) fn set_up() -> anyhow::Result<()> {
    for (series, package) in SERIES {
        let folder = workspace::tools().join("kernels").join(series);
        if !folder.exists() {
            let name = format!("fetching Linux {series} for the kernel matrix (30 MB)");
            step::step(&name, || fetch(series, package, &folder))?;
        }
    }
    Ok(())
}

fn fetch(series: &str, package: &str, folder: &Path) -> anyhow::Result<()> {
    // Where apt has never been asked, it knows no package.
    let kernel = newest(series, package).or_else(|_unknown| {
        packages::update()?;
        newest(series, package)
    })?;
    let scratch = workspace::tools().join("kernels/scratch");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    packages::unpack(&[&kernel], &scratch)?;
    let parts = scratch.join("parts");
    fs::create_dir(&parts)?;
    fs::rename(
        find(&scratch.join("boot"), &|name| name.starts_with("vmlinuz"))?,
        parts.join("vmlinuz"),
    )?;
    for module in MODULES {
        take_module(&scratch.join("lib/modules"), module, &parts)?;
    }
    // In one step, so that a set-up that was broken off is noticed.
    fs::rename(&parts, folder)?;
    Ok(fs::remove_dir_all(&scratch)?)
}

/// `linux-image-6.1.0-56-cloud-amd64`: what the series' package depends on.
fn newest(series: &str, package: &str) -> anyhow::Result<String> {
    let said = process::output(Command::new("apt-cache").args(["depends", package]))?;
    let wanted = format!("linux-image-{series}.");
    let depends = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "));
    match depends.into_iter().find(|name| name.starts_with(&wanted)) {
        Some(name) => Ok(name.to_owned()),
        None => bail!("apt knows no Linux {series}: {package} of Debian 12 would depend on it"),
    }
}

fn take_module(modules: &Path, name: &str, into: &Path) -> anyhow::Result<()> {
    let (plain, packed) = (format!("{name}.ko"), format!("{name}.ko.xz"));
    let found = find(modules, &|file| file == plain || file == packed)?;
    let to = into.join(plain);
    if found.extension().is_some_and(|end| end == "xz") {
        let mut xz = Command::new("xz");
        let file = fs::File::create(&to)?;
        process::run(
            xz.args(["--decompress", "--stdout"])
                .arg(found)
                .stdout(file),
        )
    } else {
        Ok(fs::rename(found, to)?)
    }
}

/// The first file below a folder whose name fits.
fn find(folder: &Path, fits: &dyn Fn(&str) -> bool) -> anyhow::Result<PathBuf> {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if fits(&entry.file_name().to_string_lossy()) {
                return Ok(entry.path());
            }
        }
    }
    bail!("{} lacks a file that it should have", folder.display())
}
