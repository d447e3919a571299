// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program `nft`, and rules for many Services loaded by it.

use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tests::netns::Namespace;

use crate::{Bench, ENDPOINTS, ruleset};

/// Services of one transaction: larger ones take time by the square of their size.
pub(crate) const CHUNK: u32 = 1_000;

/// How long loading may take before it is given up.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Loads rules for so many Services into a namespace without any; how long `nft` took, and nothing
/// if that is more than [`LIMIT`].
pub(crate) fn load(
    bench: &Bench,
    namespace: &Namespace,
    services: u32,
) -> anyhow::Result<Option<Duration>> {
    run(bench, namespace, ruleset::BASE)?;
    let mut took = Duration::ZERO;
    for first in (0..services).step_by(usize::try_from(CHUNK)?) {
        let last = (first + CHUNK).min(services);
        took += run(
            bench,
            namespace,
            &ruleset::add(first..last, ENDPOINTS, "tcp"),
        )?;
        if took > LIMIT {
            return Ok(None);
        }
    }
    Ok(Some(took))
}

/// Runs `nft -f` on a text; how long it takes.
pub(crate) fn run(bench: &Bench, namespace: &Namespace, text: &str) -> anyhow::Result<Duration> {
    let file = bench.lab.dir().join("rules.nft");
    fs::write(&file, text)?;
    let mut command = namespace.command("nft");
    command
        .arg("-f")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let begin = Instant::now();
    let output = command.output().context("starting nft")?;
    let took = begin.elapsed();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let some: String = said.chars().take(500).collect();
        bail!("nft: {some}");
    }
    Ok(took)
}

/// Whether the machine has it.
pub(crate) fn is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join("nft").is_file())
}
