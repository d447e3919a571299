// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first process of a guest of the kernel matrix: mounts, modules, steps, power off.
//!
//! Knows nothing of what the steps do; says on the console how each ended.

use anyhow::Context as _;
use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, finit_module, reboot},
};
use std::{
    ffi::CStr,
    fs::{self, File},
    process::Command,
};

/// Kind of file system and where it belongs.
const MOUNTS: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
];

/// For the tests among the steps. Under emulation, everything takes its time.
const VARIABLES: [(&str, &str); 3] = [
    ("WEICHE_BIN", "/bin/weiche"),
    ("WEICHE_GUEST", "1"),
    ("WEICHE_SIZE", "240"),
];

fn main() -> anyhow::Result<()> {
    if let Err(error) = run() {
        println!("guest: {error:#}");
    }
    rustix::fs::sync();
    // A first process that returned would be a panic of the kernel.
    Ok(reboot(RebootCommand::PowerOff)?)
}

fn run() -> anyhow::Result<()> {
    for (kind, target) in MOUNTS {
        mount(*kind, *target, *kind, MountFlags::empty(), None::<&CStr>)
            .with_context(|| format!("mounting {target}"))?;
    }
    for module in fs::read_dir("/modules")? {
        let path = module?.path();
        finit_module(File::open(&path)?, c"", 0)
            .with_context(|| format!("loading {}", path.display()))?;
    }
    for step in fs::read_to_string("/steps")?.lines() {
        let mut words = step.split('\t');
        let name = words.next().unwrap_or_default();
        let program = words.next().context("a step has a program")?;
        let status = Command::new(program).args(words).envs(VARIABLES).status();
        match status.with_context(|| format!("starting {program}"))? {
            status if status.success() => println!("guest: {name}: ok"),
            status => println!("guest: {name}: failed ({status})"),
        }
    }
    Ok(())
}
