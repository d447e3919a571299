// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part about names: queries that one processor answers in a second, and how long one takes;
//! in the kernel, by our server, and by an authoritative server that is not ours, with the same
//! names, in rounds that take turns. And what our programs take for one.

mod load;
mod dearest;
mod flood;
mod program;
mod nsd;
mod world;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;

use crate::{
    Bench, Scale,
    estimate::Estimate,
    path::cpu,
    report::{Cell, Report, Section, Table, Target},
};
use load::Tally;
use program::{Case, Row};
use world::{Contender, World};

/// What a run measures.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    services: u32,
    /// Queries of a flood.
    flood: u32,
    /// How long one contender is measured before the next has its turn.
    turn: Duration,
    /// How long rounds go on.
    all: Duration,
}

impl Sizes {
    const fn of(scale: Scale) -> Self {
        match scale {
            Scale::Full => Self {
                services: 10_000,
                flood: 131_072,
                turn: Duration::from_millis(500),
                all: Duration::from_secs(60),
            },
            Scale::Quick => Self {
                services: 10_000,
                flood: 32_768,
                turn: Duration::from_millis(200),
                all: Duration::from_secs(8),
            },
            Scale::Smoke => Self {
                services: 20,
                flood: 64,
                turn: Duration::from_millis(10),
                all: Duration::ZERO,
            },
        }
    }
}

const TEXT: [&str; 4] = [
    "A client and a node are network namespaces, joined by veth; each contender has two of its \
     own. Everything runs on the last processor: the client, whoever answers, and the kernel's \
     work between them.",
    "A processor's queries: what it answers in a second of its own time, where no client is: \
     queries arrive at the node's link as if that had received them, 32 at once, and answers end \
     where they arrive at the client. A source of them costs some 0.2 µs of each.",
    "With a client: 32 are under way at any time, over one socket, each for another one of the \
     names; each answer is looked at. The client's own cost, the same for all, is part of that. \
     Latency: one query at a time.",
    "A ratio is that of a turn to nsd's turn in the same round. Contenders change places from \
     round to round. nsd: one server process, without its rate limit, with the same names in a \
     zone file.",
];

/// All rounds of one contender.
struct Seen {
    /// Where no client is.
    flood: Series,
    /// With one.
    client: Series,
    /// The median of each turn, in microseconds.
    medians_us: Vec<f64>,
    latencies: Histogram<u64>,
}

/// Queries in a second, turn by turn.
#[derive(Default)]
struct Series {
    per_second: Vec<f64>,
    /// To nsd's in the same round.
    ratios: Vec<f64>,
}

impl Series {
    fn push(&mut self, per_second: f64, nsd: Option<f64>) {
        self.per_second.push(per_second);
        self.ratios.extend(nsd.map(|nsd| per_second / nsd));
    }

    fn cells(&self) -> [Cell; 2] {
        [
            Cell::Figure(Estimate::median(&self.per_second), "queries/s"),
            if self.ratios.is_empty() {
                Cell::text("")
            } else {
                Cell::Figure(Estimate::median(&self.ratios), "x")
            },
        ]
    }
}

/// What came of a turn.
struct Turn {
    tally: Tally,
    /// Queries in a second where no client is.
    flood: f64,
}

/// Measures all of it.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let sizes = Sizes::of(bench.scale);
    let processor = cpu::last()?;
    let mut worlds = Vec::new();
    for contender in Contender::ALL {
        if !bench.wants(contender.name()) {
            continue;
        }
        if let Err(why) = contender.is_there(bench) {
            bench
                .progress
                .now(&format!("names: no {}: {why}", contender.name()));
            continue;
        }
        bench
            .progress
            .now(&format!("names: {} learns them", contender.name()));
        let world = World::new(bench, contender, sizes.services, processor);
        worlds.push(world.context(contender.name())?);
    }
    let queries = load::queries(sizes.services);
    let mut seen = Vec::new();
    for _ in &worlds {
        seen.push(Seen {
            flood: Series::default(),
            client: Series::default(),
            medians_us: Vec::new(),
            latencies: Histogram::new(3)?,
        });
    }
    let begin = Instant::now();
    for round in 0.. {
        bench.progress.now(&format!("names: round {round}"));
        let mut turns: Vec<Option<Turn>> = worlds.iter().map(|_| None).collect();
        for turn in 0..worlds.len() {
            let at = (turn + round) % worlds.len();
            let taken = self::turn(&worlds[at], &queries, processor, &sizes);
            turns[at] = Some(taken.context(worlds[at].contender.name())?);
        }
        take(&worlds, &mut seen, turns.into_iter().flatten().collect())?;
        if worlds.is_empty() || begin.elapsed() >= sizes.all {
            break;
        }
    }
    let programs = if bench.wants(PROGRAMS) {
        program::measure(bench, sizes.services)?
    } else {
        Vec::new()
    };
    targets(&worlds, &seen, &programs, bench.scale, report);
    let mut tables = vec![
        table(&worlds, &seen, sizes.services),
        of_programs(&programs, sizes.services),
    ];
    if bench.wants(dearest::NAME) {
        tables.push(dearest::measure(bench, report)?);
    }
    report.section(Section {
        title: "Names".to_owned(),
        text: TEXT.map(str::to_owned).to_vec(),
        tables,
        plots: Vec::new(),
    });
    Ok(())
}

fn turn(
    world: &World,
    queries: &[Vec<u8>],
    processor: usize,
    sizes: &Sizes,
) -> anyhow::Result<Turn> {
    let tally = load::run(world, queries, processor, sizes.turn)?;
    let flood = 1e9 / flood::cost_ns(world, processor, sizes.flood)?;
    Ok(Turn { tally, flood })
}

fn take(worlds: &[World], seen: &mut [Seen], turns: Vec<Turn>) -> anyhow::Result<()> {
    let is_nsd = |world: &World| world.contender == Contender::Nsd;
    let nsd = worlds.iter().position(is_nsd).and_then(|at| turns.get(at));
    let nsd = nsd.map(|turn| (turn.flood, turn.tally.per_second));
    for (seen, Turn { tally, flood }) in seen.iter_mut().zip(turns) {
        seen.flood.push(flood, nsd.map(|(flood, _)| flood));
        let of_client = nsd.map(|(_, of_client)| of_client);
        seen.client.push(tally.per_second, of_client);
        let median_ns = tally.latencies.value_at_quantile(0.5);
        seen.medians_us.push(microseconds(median_ns));
        seen.latencies.add(tally.latencies)?;
    }
    Ok(())
}

fn table(worlds: &[World], seen: &[Seen], services: u32) -> Table {
    let rows = worlds.iter().zip(seen).map(|(world, seen)| {
        let mut row = vec![Cell::text(world.contender.name())];
        row.extend(seen.flood.cells());
        row.extend(seen.client.cells());
        row.extend([0.5, 0.99, 0.999].map(|at| {
            let us = microseconds(seen.latencies.value_at_quantile(at));
            Cell::text(format!("{us:.1} µs"))
        }));
        row
    });
    let columns = [
        "",
        "a processor's queries",
        "to nsd",
        "with a client",
        "to nsd",
        "p50",
        "p99",
        "p99.9",
    ];
    Table {
        title: format!("A record of one of {services} names"),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// What the part calls the measure that has no contenders.
const PROGRAMS: &str = "the programs alone";

fn of_programs(programs: &[Row], services: u32) -> Table {
    let rows = programs.iter().map(|row| {
        vec![
            Cell::text(row.case.name()),
            Cell::Figure(row.hot, "ns"),
            Cell::Figure(row.single, "ns"),
        ]
    });
    Table {
        title: format!("In {PROGRAMS}, among {services} names"),
        columns: ["question", "many in a row", "one at a time"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
    }
}

const RATE: &str = "T8-queries";
const LATENCY: &str = "T8-latency";
const PROGRAM: &str = "T8-program";

fn targets(worlds: &[World], seen: &[Seen], programs: &[Row], scale: Scale, report: &mut Report) {
    let address = programs.iter().find(|row| row.case == Case::Address);
    if let Some(Row { hot, .. }) = address.filter(|_| scale != Scale::Smoke) {
        let what = "the kernel's answers: an address, in the programs";
        report.target(Target::at_most(PROGRAM, what, (300.0, "ns"), *hot));
    } else {
        report.absent(PROGRAM, "this run has no programs with 10,000 names");
    }
    let is_kernel = |world: &World| world.contender == Contender::Kernel;
    let kernel = worlds.iter().position(is_kernel).map(|at| &seen[at]);
    let Some(kernel) = kernel.filter(|_| scale != Scale::Smoke) else {
        for id in [RATE, LATENCY] {
            report.absent(
                id,
                "this run has no answers of the kernel's for 10,000 names",
            );
        }
        return;
    };
    if kernel.flood.ratios.is_empty() {
        report.absent(RATE, "there is no nsd");
    } else {
        let what = "the kernel's answers: a processor's queries to nsd's, at least";
        let ratio = Estimate::median(&kernel.flood.ratios);
        report.target(Target::at_least(RATE, what, (3.2, "x queries/s"), ratio));
    }
    let what = "the kernel's answers: p50 of one query";
    let median = Estimate::median(&kernel.medians_us);
    report.target(Target::at_most(LATENCY, what, (7.0, "µs"), median));
}

fn microseconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64() * 1e6
}
