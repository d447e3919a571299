// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where figures come from: without it, no figure means anything.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use serde::Serialize;

/// The machine and what runs on it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mb: u64,
    pub(crate) kernel: String,
    /// Whether a hypervisor is below.
    pub(crate) is_virtual: bool,
    /// Processes that wanted a core in the minute before.
    pub(crate) load_before: String,
    pub(crate) weiche: String,
    /// `nft --version`; none where there is no such program.
    pub(crate) nft: Option<String>,
}

impl Machine {
    pub(crate) fn look(weiche: &Path) -> anyhow::Result<Self> {
        let processors = read("/proc/cpuinfo")?;
        let memory = read("/proc/meminfo")?;
        let memory_kib: u64 = field(&memory, "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .context("/proc/meminfo has no MemTotal")?;
        let uname = rustix::system::uname();
        let load = read("/proc/loadavg")?;
        let version = output(Command::new(weiche).arg("--version"));
        Ok(Self {
            processor: field(&processors, "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism()?.get(),
            memory_mb: memory_kib * 1024 / 1_000_000,
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            is_virtual: field(&processors, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            load_before: load.split(' ').next().unwrap_or_default().to_owned(),
            weiche: version.with_context(|| format!("asking {}", weiche.display()))?,
            nft: output(Command::new("nft").arg("--version")).ok(),
        })
    }

    /// For people, as pairs.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let virtual_machine = if self.is_virtual { ", virtual" } else { "" };
        vec![
            (
                "machine",
                format!(
                    "{} x {}{virtual_machine}, {} MB",
                    self.cores, self.processor, self.memory_mb
                ),
            ),
            ("kernel", self.kernel.clone()),
            ("load before", self.load_before.clone()),
            ("weiche", self.weiche.clone()),
            (
                "nft",
                self.nft.clone().unwrap_or_else(|| "not there".to_owned()),
            ),
        ]
    }
}

fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

fn field(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
