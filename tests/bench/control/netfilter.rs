// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same changes as rules, loaded with `nft`.

use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tests::netns::Namespace;

use super::{ENDPOINTS, Sizes, ruleset};
use crate::{
    Bench,
    estimate::Estimate,
    report::{Cell, Section, Table},
};

/// Services of one transaction: larger ones take time by the square of their size.
const CHUNK: u32 = 1_000;

/// How long loading may take before it is given up.
const LIMIT: Duration = Duration::from_secs(120);

/// One size.
pub(super) struct Loaded {
    pub(super) services: u32,
    /// None: it took too long.
    pub(super) load_ms: Option<Estimate>,
    pub(super) change_ms: Option<Estimate>,
}

/// All sizes; nothing where there is no `nft`.
pub(super) fn measure(
    bench: &Bench,
    sizes: Sizes,
    section: &mut Section,
) -> anyhow::Result<Vec<Loaded>> {
    let mut all = Vec::new();
    let mut rows = Vec::new();
    for &services in sizes.nft {
        if !nft_is_there() {
            break;
        }
        let loaded = load(bench, services).with_context(|| format!("{services} Services"))?;
        let cell = |estimate: Option<Estimate>| {
            estimate.map_or(Cell::text(format!("more than {LIMIT:?}")), |it| {
                Cell::Figure(it, "ms")
            })
        };
        rows.push(vec![
            Cell::text(format!("{services} x {ENDPOINTS}")),
            cell(loaded.load_ms),
            cell(loaded.change_ms),
        ]);
        all.push(loaded);
    }
    if rows.is_empty() {
        section
            .text
            .push("There is no `nft` on this machine.".to_owned());
        return Ok(all);
    }
    section.tables.push(Table {
        title: format!("nft -f, rules of kube-proxy's shape, {CHUNK} Services a transaction"),
        columns: ["Services x endpoints", "load all", "one change"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    });
    Ok(all)
}

fn load(bench: &Bench, services: u32) -> anyhow::Result<Loaded> {
    let mut namespace = None;
    let begin = Instant::now();
    let mut is_late = false;
    // Large ones are loaded once: the chunks are many, and the differences large.
    let load_ms = bench.scale.effort().median(|round| {
        bench.progress.now(&format!(
            "control: nft loads {services} Services, round {round}"
        ));
        // The old one goes first, with its rules.
        namespace = None;
        let fresh = bench.lab.namespace(&format!("nft-{services}-{round}"))?;
        nft(bench, &fresh, ruleset::BASE)?;
        let mut took = Duration::ZERO;
        for first in (0..services).step_by(usize::try_from(CHUNK)?) {
            let last = (first + CHUNK).min(services);
            took += nft(bench, &fresh, &ruleset::add(first..last, ENDPOINTS))?;
            is_late = begin.elapsed() > LIMIT;
            if is_late {
                break;
            }
        }
        namespace = Some(fresh);
        Ok(took.as_secs_f64() * 1e3)
    })?;
    let namespace = namespace.context("nothing was loaded")?;
    if is_late {
        return Ok(Loaded {
            services,
            load_ms: None,
            change_ms: None,
        });
    }
    let service = services / 2;
    let mut old = service * ENDPOINTS;
    let change_ms = bench.scale.effort().median(|round| {
        bench.progress.now(&format!(
            "control: nft changes one of {services} Services, round {round}"
        ));
        let new = services * ENDPOINTS + u32::try_from(round)?;
        let text = ruleset::change(service, ENDPOINTS, old, new);
        old = new;
        Ok(nft(bench, &namespace, &text)?.as_secs_f64() * 1e3)
    })?;
    Ok(Loaded {
        services,
        load_ms: Some(load_ms),
        change_ms: Some(change_ms),
    })
}

/// Runs `nft -f` on a text; how long it takes.
fn nft(bench: &Bench, namespace: &Namespace, text: &str) -> anyhow::Result<Duration> {
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

fn nft_is_there() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join("nft").is_file())
}
