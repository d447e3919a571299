// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same changes as rules, loaded with `nft`.

use anyhow::Context as _;
use tests::netns::Namespace;

use super::Sizes;
use crate::{
    Bench, ENDPOINTS,
    estimate::{Budget, Estimate},
    nft,
    report::{Cell, Section, Table},
    ruleset,
};

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
    budget: &mut Budget,
    section: &mut Section,
) -> anyhow::Result<Vec<Loaded>> {
    let mut all = Vec::new();
    let mut rows = Vec::new();
    for &services in sizes.nft {
        if !nft::is_there() {
            break;
        }
        let loaded =
            load(bench, budget, services).with_context(|| format!("{services} Services"))?;
        let cell = |estimate: Option<Estimate>| {
            estimate.map_or(Cell::text(format!("more than {:?}", nft::LIMIT)), |it| {
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
        title: format!(
            "nft -f, rules of kube-proxy's shape, {} Services a transaction",
            nft::CHUNK
        ),
        columns: ["Services x endpoints", "load all", "one change"]
            .map(str::to_owned)
            .to_vec(),
        rows,
    });
    Ok(all)
}

fn load(bench: &Bench, budget: &mut Budget, services: u32) -> anyhow::Result<Loaded> {
    let mut namespace: Option<Namespace> = None;
    let mut is_late = false;
    // Large ones are loaded once: the chunks are many, and the differences large.
    let load_ms = budget.take(bench.scale.effort()).median(|round| {
        bench.progress.now(&format!(
            "control: nft loads {services} Services, round {round}"
        ));
        // The old one goes first, with its rules.
        namespace = None;
        let fresh = bench.lab.namespace(&format!("nft-{services}-{round}"))?;
        let took = nft::load(bench, &fresh, services)?;
        is_late = took.is_none();
        namespace = Some(fresh);
        Ok(took.unwrap_or(nft::LIMIT).as_secs_f64() * 1e3)
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
    let change_ms = budget.take(bench.scale.effort()).median(|round| {
        bench.progress.now(&format!(
            "control: nft changes one of {services} Services, round {round}"
        ));
        let new = services * ENDPOINTS + u32::try_from(round)?;
        let text = ruleset::change(service, ENDPOINTS, old, new);
        old = new;
        Ok(nft::run(bench, &namespace, &text)?.as_secs_f64() * 1e3)
    })?;
    Ok(Loaded {
        services,
        load_ms: Some(load_ms),
        change_ms: Some(change_ms),
    })
}
