// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the rounds of one workload at one scale say, and what all of them say of the targets.

use anyhow::Context as _;
use hdrhistogram::Histogram;

use super::{
    load::{Tally, Workload},
    world::Contender,
};
use crate::{
    Scale,
    estimate::Estimate,
    report::{Cell, Line, Plot, Report, Section, Table, Target},
};

/// One workload at one number of Services.
pub(super) struct Row {
    services: u32,
    workload: Workload,
    /// The first is `direct`.
    seen: Vec<Seen>,
}

/// What was seen of one contender, turn by turn.
struct Seen {
    contender: Contender,
    cpu_us: Vec<f64>,
    /// To `direct` in the same round.
    ratios: Vec<f64>,
    per_second: Vec<f64>,
    latencies: Histogram<u64>,
}

impl Row {
    pub(super) fn new(
        services: u32,
        workload: Workload,
        contenders: impl Iterator<Item = Contender>,
    ) -> Self {
        let seen = contenders.map(|contender| Seen {
            contender,
            cpu_us: Vec::new(),
            ratios: Vec::new(),
            per_second: Vec::new(),
            latencies: Histogram::new(3).expect("three digits are allowed"),
        });
        Self {
            services,
            workload,
            seen: seen.collect(),
        }
    }

    /// One round: a tally of each contender.
    pub(super) fn add(&mut self, tallies: Vec<Tally>) -> anyhow::Result<()> {
        let cost = |tally: &Tally| tally.cpu_ns / tally.operations;
        let direct = cost(tallies.first().context("nobody had a turn")?);
        for (seen, tally) in self.seen.iter_mut().zip(tallies) {
            seen.cpu_us.push(cost(&tally) / 1e3);
            seen.ratios.push(cost(&tally) / direct);
            seen.per_second.push(tally.operations / tally.seconds);
            seen.latencies.add(tally.latencies)?;
        }
        Ok(())
    }

    /// Of all contenders but `direct`.
    pub(super) fn ratios(&self) -> impl Iterator<Item = &[f64]> {
        self.seen.iter().skip(1).map(|seen| &*seen.ratios)
    }

    fn of(&self, contender: Contender) -> Option<&Seen> {
        self.seen.iter().find(|seen| seen.contender == contender)
    }

    fn ratio(&self, contender: Contender) -> Option<Estimate> {
        Some(Estimate::median(&self.of(contender)?.ratios))
    }

    /// How many times as much as another contender one does with a processor.
    fn times(&self, contender: Contender, other: Contender) -> Option<Estimate> {
        let (own, others) = (&self.of(contender)?.ratios, &self.of(other)?.ratios);
        let rounds = own.iter().zip(others);
        let times: Vec<f64> = rounds.map(|(own, other)| other / own).collect();
        Some(Estimate::median(&times))
    }
}

/// The tables and plots.
pub(super) fn show(rows: &[Row], section: &mut Section) {
    for workload in Workload::ALL {
        let of = rows.iter().filter(|row| row.workload == workload);
        let cells = of.flat_map(|row| row.seen.iter().map(|seen| cells(row, seen)));
        let unit = match workload {
            Workload::Stream => "MB/s",
            Workload::Packets => "per second and processor",
            _ => "per second",
        };
        section.tables.push(Table {
            title: workload.name().to_owned(),
            columns: [
                "Services",
                "through",
                "CPU of one",
                "to direct",
                unit,
                "p50",
                "p90",
                "p99",
                "p99.9",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: cells.collect(),
        });
    }
    for workload in [Workload::Connections, Workload::Requests] {
        let line = |contender: Contender| Line {
            name: contender.name().to_owned(),
            points: rows
                .iter()
                .filter(|row| row.workload == workload)
                .filter_map(|row| Some((f64::from(row.services), row.ratio(contender)?)))
                .collect(),
        };
        section.plots.push(Plot {
            title: format!("{}: CPU, direct = 1", workload.name()),
            x: "Services, with 10 endpoints each".to_owned(),
            y: "x".to_owned(),
            lines: vec![
                line(Contender::Weiche),
                line(Contender::WeicheDirectly),
                line(Contender::Netfilter),
            ],
        });
    }
}

fn cells(row: &Row, seen: &Seen) -> Vec<Cell> {
    let is_one_way = matches!(row.workload, Workload::Stream | Workload::Packets);
    let (unit, per_second) = if row.workload == Workload::Stream {
        ("µs/MB", "MB/s")
    } else {
        ("µs", "/s")
    };
    let mut cells = vec![
        Cell::text(row.services.to_string()),
        Cell::text(seen.contender.name()),
        Cell::Figure(Estimate::median(&seen.cpu_us), unit),
        Cell::Figure(Estimate::median(&seen.ratios), "x"),
        Cell::Figure(Estimate::median(&seen.per_second), per_second),
    ];
    cells.extend([0.5, 0.9, 0.99, 0.999].map(|at| {
        if is_one_way {
            // How long the kernel keeps a writer waiting says nothing.
            return Cell::text("");
        }
        let ns = seen.latencies.value_at_quantile(at);
        let us = std::time::Duration::from_nanos(ns).as_secs_f64() * 1e6;
        Cell::text(format!("{us:.1} µs"))
    }));
    cells
}

/// Services of the rows that targets speak of, where growth is not the matter.
const ASKED: u32 = 1_000;

/// What is asked of the ways through the node's own stack and past it.
const TO_DIRECT: [(&str, Contender, Workload, f64); 4] = [
    ("T1-stack", Contender::Weiche, Workload::Connections, 1.10),
    (
        "T1-direct-delivery",
        Contender::WeicheDirectly,
        Workload::Connections,
        0.98,
    ),
    ("T2-stack", Contender::Weiche, Workload::Requests, 1.07),
    (
        "T2-direct-delivery",
        Contender::WeicheDirectly,
        Workload::Requests,
        0.97,
    ),
];

const GROWTH: [(&str, Workload); 2] = [
    ("T3-connections", Workload::Connections),
    ("T3-requests", Workload::Requests),
];

const RATE: &str = "T5-direct-delivery";

/// The rows of targets.
pub(super) fn targets(rows: &[Row], scale: Scale, report: &mut Report) {
    let find = |contender, workload, services| {
        let is_it = |row: &&Row| row.workload == workload && row.services == services;
        rows.iter().find(is_it)?.ratio(contender)
    };
    for (id, contender, workload, limit) in TO_DIRECT {
        match find(contender, workload, ASKED).filter(|_| scale != Scale::Smoke) {
            Some(ratio) => {
                let what = format!("{}, CPU to direct, {}", workload.name(), contender.name());
                report.target(Target::at_most(id, what, (limit, "x"), ratio));
            }
            None => report.absent(id, format!("this run has no {ASKED} Services")),
        }
    }
    for (id, workload) in GROWTH {
        let at = |services| find(Contender::Weiche, workload, services);
        match (at(1), at(50_000)) {
            (Some(one), Some(many)) => {
                let what = format!("{}, ratio at 50,000 Services by that at 1", workload.name());
                report.target(Target::no_growth(id, what, many.over(one)));
            }
            _ => report.absent(id, "only a full run has 50,000 Services"),
        }
    }
    let (weiche, netfilter) = (Contender::WeicheDirectly, Contender::Netfilter);
    let is_it = |row: &&Row| row.workload == Workload::Packets && row.services == ASKED;
    let times = rows.iter().find(is_it);
    match times.and_then(|row| row.times(weiche, netfilter)) {
        Some(times) => {
            let what = "UDP, one way, direct delivery: a processor's packets to nft's, at least";
            report.target(Target::at_least(RATE, what, (2.1, "x packets/s"), times));
        }
        None => report.absent(RATE, format!("this run has no {ASKED} Services, or no nft")),
    }
}
