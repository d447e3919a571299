// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cold sync and one change, by the size of the cluster.

use std::time::Duration;

use anyhow::ensure;
use lb_common::wire::Node;
use lb_userspace::{
    maps::kernel::KernelStore,
    reconcile::{Reconciler, Settings},
};
use tests::{control::journal::Journal, wait};

use super::{
    Sizes,
    driver::drive,
    maps::{self, Maps},
    netfilter::Loaded,
};
use crate::{
    Bench, ENDPOINTS,
    cluster::{Cluster, NODE},
    estimate::{Budget, Estimate},
    report::{Cell, Line, Plot, Report, Section, Table, Target},
};

/// Between two changes that are measured one by one.
const PAUSE: Duration = Duration::from_millis(10);

/// One size.
pub(super) struct Row {
    services: u32,
    endpoints: u32,
    cold_ms: Estimate,
    change_ms: Estimate,
    change_p99_ms: Estimate,
    /// Calls that write, of one change.
    calls: u64,
    /// Of the maps of Services.
    maps_mb: f64,
}

/// All sizes, and the targets that speak of them.
pub(super) fn measure(
    bench: &Bench,
    sizes: Sizes,
    budget: &mut Budget,
    report: &mut Report,
) -> anyhow::Result<Vec<Row>> {
    let many = sizes.services.iter().map(|services| (*services, ENDPOINTS));
    let mut rows = Vec::new();
    for (services, endpoints) in many.chain([(1, sizes.large)]) {
        if !bench.wants(&format!("scale, {services} Services x {endpoints}")) {
            continue;
        }
        rows.push(row(bench, sizes, budget, (services, endpoints))?);
    }
    let row = |services| rows.iter().find(|row| row.services == services);
    if sizes.are_asked()
        && let Some(asked) = row(sizes.most_asked)
    {
        let what = "cold sync of 10,000 Services x 10 endpoints";
        let cold_s = asked.cold_ms.times(1e-3);
        report.target(Target::at_most("T7", what, (0.5, "s"), cold_s));
        let what = "one changed endpoint among 10,000 Services x 10, until written, 99 of 100";
        report.target(Target::at_most(
            "T6",
            what,
            (1.0, "ms"),
            asked.change_p99_ms,
        ));
    } else {
        report.absent("T7", "this run has no 10,000 Services");
        report.absent("T6", "this run has no 10,000 Services");
    }
    if sizes.are_asked()
        && let (Some(few), Some(most)) = (row(1_000), row(50_000))
    {
        let ratio = most.change_ms.over(few.change_ms);
        let what = "one changed endpoint among 50,000 Services, as a multiple of among 1,000";
        report.target(Target::at_most("T6-scale", what, (2.0, "x"), ratio));
    } else {
        report.absent("T6-scale", "only a full run has 1,000 and 50,000 Services");
    }
    Ok(rows)
}

fn row(
    bench: &Bench,
    sizes: Sizes,
    budget: &mut Budget,
    (services, endpoints): (u32, u32),
) -> anyhow::Result<Row> {
    let name = format!("{services} Services x {endpoints}");
    let cluster = Cluster::new(services, endpoints);
    let cold_ms = budget.take(bench.scale.effort()).median(|round| {
        bench
            .progress
            .now(&format!("control: cold sync of {name}, round {round}"));
        let maps = Maps::new(&bench.bpffs, &cluster)?;
        let took = drive(maps.folder(), async |driver| driver.list(&cluster).await)?;
        Ok(took.as_secs_f64() * 1e3)
    })?;
    let maps = Maps::new(&bench.bpffs, &cluster)?;
    let mut changed = cluster.clone();
    let mut samples = Vec::new();
    drive(maps.folder(), async |driver| {
        driver.list(&cluster).await?;
        for round in 0..sizes.changes {
            if round % 100 == 0 {
                bench
                    .progress
                    .now(&format!("control: change {round} among {name}"));
            }
            wait::pass_on_runtime(PAUSE).await;
            let took = driver.change(changed.replace_pod()).await?;
            samples.push(took.as_secs_f64() * 1e3);
        }
        Ok(())
    })?;
    let of_services = maps::bytes(maps.folder())?;
    drop(maps);
    Ok(Row {
        services,
        endpoints,
        cold_ms,
        change_ms: Estimate::median(&samples),
        change_p99_ms: Estimate::quantile(&samples, 0.99),
        calls: calls(bench, &cluster)?,
        maps_mb: of_services.iter().map(|(_, bytes, _)| bytes).sum::<f64>() / 1e6,
    })
}

/// How many calls write one change: counted, not timed.
fn calls(bench: &Bench, cluster: &Cluster) -> anyhow::Result<u64> {
    let maps = Maps::new(&bench.bpffs, cluster)?;
    let mut store = KernelStore::open(maps.folder())?;
    let settings = Settings::new(NODE, Node::default());
    let mut reconciler = Reconciler::restore(&store, &settings)?;
    cluster.listing().for_each(|change| reconciler.note(change));
    reconciler.sync(&mut store, 1);
    ensure!(
        reconciler.report().pending == 0,
        "{:?}",
        reconciler.report()
    );
    let mut journal = Journal::new(store);
    reconciler.note(cluster.clone().replace_pod());
    reconciler.sync(&mut journal, 2);
    let grace_ns = u64::try_from(settings.grace.as_nanos())?;
    reconciler.sync(&mut journal, 3 + grace_ns);
    Ok(journal.calls)
}

/// Shows it, beside netfilter.
pub(super) fn show(rows: &[Row], netfilter: &[Loaded], section: &mut Section) {
    let cells = rows.iter().map(|row| {
        vec![
            Cell::text(format!("{} x {}", row.services, row.endpoints)),
            Cell::Figure(row.cold_ms, "ms"),
            Cell::Figure(row.change_ms, "ms"),
            Cell::Figure(row.change_p99_ms, "ms"),
            Cell::text(row.calls.to_string()),
            Cell::text(format!("{:.1} MB", row.maps_mb)),
        ]
    });
    section.tables.insert(
        0,
        Table {
            title: "Cost by scale".to_owned(),
            columns: [
                "Services x endpoints",
                "cold sync",
                "one change",
                "99 of 100",
                "writes of it",
                "maps made for it",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: cells.collect(),
        },
    );
    let many = || rows.iter().filter(|row| row.services > 1);
    let line = |name: &str, points: Vec<(f64, Estimate)>| Line {
        name: name.to_owned(),
        points,
    };
    let ours = |figure: fn(&Row) -> Estimate| {
        let points = many().map(|row| (f64::from(row.services), figure(row)));
        points.collect()
    };
    let theirs = |figure: fn(&Loaded) -> Option<Estimate>| {
        let points = netfilter.iter();
        let points = points.filter_map(|it| Some((f64::from(it.services), figure(it)?)));
        points.collect()
    };
    section.plots.push(Plot {
        title: "Time until the kernel serves it".to_owned(),
        x: "Services, with 10 endpoints each".to_owned(),
        y: "ms".to_owned(),
        lines: vec![
            line("all: Weiche", ours(|row| row.cold_ms)),
            line("all: nft, in chunks", theirs(|it| it.load_ms)),
            line("one change: Weiche", ours(|row| row.change_ms)),
            line("one change: nft", theirs(|it| it.change_ms)),
        ],
    });
}
