// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of the system, by Debian's package names: which ones, what for, and how they get there.

use super::refusal;
use crate::{process, step};
use anyhow::bail;
use std::{path::Path, process::Command};

/// What a package is needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// The demo.
    Run,
    /// The tests, and the bench.
    Test,
}

struct Package {
    name: &'static str,
    program: &'static str,
    purpose: Use,
    why: &'static str,
}

const PACKAGES: &[Package] = &[
    Package {
        name: "iproute2",
        program: "ip",
        purpose: Use::Run,
        why: "namespaces and veth links",
    },
    Package {
        name: "curl",
        program: "curl",
        purpose: Use::Run,
        why: "requests from a client pod",
    },
    Package {
        name: "tcpdump",
        program: "tcpdump",
        purpose: Use::Test,
        why: "an observer that is not ours looks at checksums on the wire",
    },
    Package {
        name: "ethtool",
        program: "ethtool",
        purpose: Use::Test,
        why: "switches checksum offload off, which would hide a wrong checksum",
    },
    Package {
        name: "bind9-dnsutils",
        program: "dig",
        purpose: Use::Test,
        why: "a resolver that is not ours judges answers",
    },
    Package {
        name: "nftables",
        program: "nft",
        purpose: Use::Test,
        why: "rules of kube-proxy's shape, and other people's",
    },
    Package {
        name: "iptables",
        program: "iptables-save",
        purpose: Use::Test,
        why: "the same in the form of iptables",
    },
    Package {
        name: "qemu-system-x86",
        program: "qemu-system-x86_64",
        purpose: Use::Test,
        why: "boots other kernels",
    },
    Package {
        name: "xz-utils",
        program: "xz",
        purpose: Use::Test,
        why: "unpacks modules of other kernels",
    },
];

/// Installs those that are missing for one purpose.
pub(super) fn set_up(purpose: Use) -> anyhow::Result<()> {
    let missing: Vec<&Package> = PACKAGES
        .iter()
        .filter(|package| package.purpose == purpose && !process::is_there(package.program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        eprintln!("==> {} is missing ({})", package.name, package.why);
    }
    let names: Vec<_> = missing.iter().map(|package| package.name).collect();
    let by_hand = format!(
        "apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    if !process::is_there("apt-get") {
        bail!(
            "this is not a Debian: install what offers {} here, then run this again",
            names.join(", ")
        );
    }
    if !process::is_root() {
        bail!("only root may install packages: run `{by_hand}` as root, then this again");
    }
    step::step(&format!("installing {}", names.join(", ")), || {
        install(&names)
    })
}

/// Installs with the package lists that are there, and with new ones if that does not do.
fn install(names: &[&str]) -> anyhow::Result<()> {
    if has_lists() && install_now(names).is_ok() {
        return Ok(());
    }
    update()?;
    install_now(names).map_err(refusal::explain)
}

/// Fetches the package lists.
pub(super) fn update() -> anyhow::Result<()> {
    process::run_shown(apt().args(["update", "-q"])).map_err(refusal::explain)
}

/// Fetches packages and unpacks them into a folder, without installing anything.
pub(super) fn unpack(names: &[&str], folder: &Path) -> anyhow::Result<()> {
    let mut apt = Command::new("apt-get");
    // Root's apt would hand the download to a user who may not write here.
    apt.args(["-q", "-o", "APT::Sandbox::User=root", "download"])
        .args(names)
        .current_dir(folder);
    process::run_shown(&mut apt).map_err(refusal::explain)?;
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            let mut dpkg = Command::new("dpkg-deb");
            process::run_shown(dpkg.arg("-x").arg(&path).arg(folder))?;
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn install_now(names: &[&str]) -> anyhow::Result<()> {
    let mut apt = apt();
    apt.args(["install", "-q", "-y", "--no-install-recommends"])
        .args(names);
    process::run_shown(&mut apt)
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    // Another apt may be at work for a moment, as after a machine's first start.
    apt.args(["-o", "DPkg::Lock::Timeout=120"]);
    apt
}

fn has_lists() -> bool {
    let lists = Path::new("/var/lib/apt/lists").read_dir();
    lists.is_ok_and(|lists| {
        let names = lists.filter_map(|entry| Some(entry.ok()?.file_name()));
        names
            .into_iter()
            .any(|name| name.to_string_lossy().contains("_Packages"))
    })
}
