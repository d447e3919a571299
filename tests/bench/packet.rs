// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packet part: nanoseconds of one program for one packet, by the kernel's own count
//! (`BPF_PROG_TEST_RUN`), with the maps in memory as large as one likes.
//!
//! The kernel hands a program the packet back as it has left it. So Services stand in a ring: the
//! backend of each is the address of the next, and every translation makes the packet that the
//! next flow is about. No harness has to undo anything, and as many flows take part as the ring
//! is long.

pub(crate) mod ring;

use aya::{TestRun as _, TestRunOptions};
use tests::{empty::Empty, kernel::Hook};

use crate::{
    Bench, Scale,
    estimate::{Budget, Effort, Estimate},
    instructions::Instructions,
    report::{Cell, Line, Plot, Report, Section, Table, Target},
};
use ring::{Ip, Ring, Transport};

/// A number of Services, and how many of them have a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    services: u32,
    flows: u32,
}

/// What a packet meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// No IP packet: little more than the way into the program and out.
    NotIp,
    /// An address that is no Service's.
    NoService,
    /// The first packet of a flow.
    New,
    /// A packet of a flow that is known.
    Known,
    /// A backend's answer.
    Reply,
}

impl Case {
    const ALL: [Self; 5] = [
        Self::NotIp,
        Self::NoService,
        Self::New,
        Self::Known,
        Self::Reply,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::NotIp => "no IP packet",
            Self::NoService => "no Service",
            Self::New => "new flow",
            Self::Known => "known flow",
            Self::Reply => "reply",
        }
    }
}

/// One figure.
struct Row {
    ip: Ip,
    transport: Transport,
    case: Case,
    size: Size,
    /// Nanoseconds, round by round.
    ns: Vec<f64>,
    /// Where the machine counts them.
    instructions: Vec<f64>,
}

const TEXT: [&str; 3] = [
    "Nanoseconds of the TC program for one packet, as the kernel counts them when it runs the \
     program many times in a row (BPF_PROG_TEST_RUN), caches warm. `an empty program` is what such \
     a run costs by itself.",
    "Services stand in a ring, in which the backend of each is the address of the next: so each \
     run translates for another flow, and with 65,536 of them none is in the cache.",
    "Instructions are those of such a run as a whole, where the machine has counters that say so.",
];

/// Which there are in a run of this scale.
const fn sizes(scale: Scale) -> &'static [(u32, u32)] {
    match scale {
        Scale::Full => &[
            (2, 2),
            (1_024, 1_024),
            (65_536, 2),
            (65_536, 1_024),
            (65_536, 65_536),
        ],
        // Those that targets speak of.
        Scale::Quick => &[(2, 2), (1_024, 1_024), (65_536, 2), (65_536, 1_024)],
        Scale::Smoke => &[(2, 2), (16, 16)],
    }
}

/// Likewise.
const fn kinds(scale: Scale) -> &'static [(Ip, Transport)] {
    match scale {
        Scale::Full | Scale::Smoke => &[
            (Ip::V4, Transport::Tcp),
            (Ip::V4, Transport::Udp),
            (Ip::V6, Transport::Tcp),
            (Ip::V6, Transport::Udp),
        ],
        Scale::Quick => &[(Ip::V4, Transport::Tcp)],
    }
}

/// Measures all of it.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let (sizes, kinds) = (sizes(bench.scale), kinds(bench.scale));
    let seconds = match bench.scale {
        Scale::Full => 300,
        Scale::Quick => 20,
        Scale::Smoke => 0,
    };
    let count = u32::try_from(kinds.len() * Case::ALL.len())?;
    let mut budget = Budget::of_seconds(seconds, count);
    let floor = bench.wants(EMPTY).then(|| floor(bench)).transpose()?;
    let mut counter = Instructions::open();
    let mut rows = Vec::new();
    for &(ip, transport) in kinds {
        let of = format!("{} over {}", transport.name(), ip.name());
        let is_wanted = |case: Case, size: Size| {
            bench.wants(&format!("{}, {of}, {}", case.name(), size.name()))
        };
        let mut contenders = Vec::new();
        for &(services, flows) in sizes {
            let size = Size::new(services, flows);
            if Case::ALL.into_iter().any(|case| is_wanted(case, size)) {
                bench
                    .progress
                    .now(&format!("packet: {of}, {}", size.name()));
                let ring = Ring::new(ip, transport, size.services, size.flows)?;
                contenders.push(Contender { size, ring });
            }
        }
        for case in Case::ALL {
            let wanted = contenders.iter_mut();
            let mut wanted: Vec<_> = wanted.filter(|it| is_wanted(case, it.size)).collect();
            let effort = budget.take(bench.scale.effort());
            let samples = alternate(&mut wanted, case, effort, &mut counter)?;
            let taken = wanted.iter().map(|it| it.size).zip(samples);
            rows.extend(taken.map(|(size, (ns, instructions))| Row {
                ip,
                transport,
                case,
                size,
                ns,
                instructions,
            }));
        }
    }
    targets(&rows, report);
    report.section(section(floor, &rows));
    Ok(())
}

/// So many Services and flows of one kind.
struct Contender {
    size: Size,
    ring: Ring,
}

/// Nanoseconds, round by round, and instructions.
type Samples = (Vec<f64>, Vec<f64>);

/// Measures all of them in turn, so that what else the machine does is in each of them.
fn alternate(
    contenders: &mut [&mut Contender],
    case: Case,
    effort: Effort,
    counter: &mut Instructions,
) -> anyhow::Result<Vec<Samples>> {
    let mut samples = vec![Samples::default(); contenders.len()];
    effort.rounds(|_number| {
        for (contender, (times, instructions)) in contenders.iter_mut().zip(&mut samples) {
            let (ns, taken) = run(&mut contender.ring, case, contender.size, counter)?;
            times.push(ns);
            instructions.extend(taken);
        }
        let sizes = contenders.iter().map(|it| it.size);
        // A handful of runs says nothing, however often.
        let figures = sizes.zip(&samples);
        let figures = figures.filter(|(size, _)| runs(case, *size) >= ENOUGH);
        let figures: Vec<_> = figures
            .map(|(size, (times, _))| (size, &times[..]))
            .collect();
        Ok(are_tight(&figures))
    })?;
    Ok(samples)
}

/// Whether times are as sure as they should be, and growth with the number of Services is, where
/// flows are as many.
fn are_tight(figures: &[(Size, &[f64])]) -> bool {
    figures.iter().all(|(size, times)| {
        let others = figures
            .iter()
            .filter(|(other, _)| other.flows == size.flows);
        let mut ratios = others.map(|(_, others)| ratio(times, others));
        Estimate::median(times).is_tight() && ratios.all(|ratio| ratio.is_tight())
    })
}

/// How many times as long one takes as the other, by what was measured in the same round.
fn ratio(times: &[f64], others: &[f64]) -> Estimate {
    let ratios = times.iter().zip(others).map(|(one, other)| one / other);
    Estimate::median(&ratios.collect::<Vec<_>>())
}

/// What an empty program costs.
const EMPTY: &str = "an empty program";

/// What the kernel says of a program that does nothing.
fn floor(bench: &Bench) -> anyhow::Result<Estimate> {
    let mut empty = Empty::load()?;
    bench.scale.effort().median(|_| {
        let ran = empty.program()?.test_run(TestRunOptions {
            data_in: Some(&[0; 60]),
            repeat: RUNS,
            ..TestRunOptions::default()
        })?;
        Ok(ran.duration.as_secs_f64() * 1e9)
    })
}

impl Size {
    const fn new(services: u32, flows: u32) -> Self {
        Self { services, flows }
    }

    fn name(self) -> String {
        format!("{} of {} Services", self.flows, self.services)
    }
}

/// Runs of which the kernel tells the mean, where a row does not say how many there can be.
const RUNS: u32 = 1 << 17;

/// So many runs say something.
const ENOUGH: u32 = 1_000;

const fn runs(case: Case, size: Size) -> u32 {
    match case {
        // Once round, until every flow is known.
        Case::New => size.flows,
        _ => RUNS,
    }
}

/// One sample: nanoseconds for a packet, and instructions.
fn run(
    ring: &mut Ring,
    case: Case,
    size: Size,
    counter: &mut Instructions,
) -> anyhow::Result<(f64, Option<f64>)> {
    let (hook, frame) = match case {
        Case::NotIp => (Hook::Ingress, ring.not_ip()),
        Case::NoService => (Hook::Ingress, ring.no_service()),
        Case::New => (Hook::Ingress, ring.first()),
        Case::Known => (Hook::Ingress, ring.later()),
        Case::Reply => (Hook::Egress, ring.reply()),
    };
    let runs = runs(case, size);
    match case {
        Case::New => ring.forget()?,
        Case::Known | Case::Reply => ring.open()?,
        Case::NotIp | Case::NoService => {}
    }
    let (ran, taken) = counter.count(|| {
        Ok(ring.program(hook)?.test_run(TestRunOptions {
            data_in: Some(&frame),
            repeat: runs,
            ..TestRunOptions::default()
        })?)
    })?;
    ring.check()?;
    // Of few runs it would be what the system's call for them takes.
    let taken = taken.filter(|_| runs >= ENOUGH);
    let each = taken.map(|taken| taken / f64::from(runs));
    Ok((ran.duration.as_secs_f64() * 1e9, each))
}

fn targets(rows: &[Row], report: &mut Report) {
    let find = |case, services, flows| {
        let wanted = Size::new(services, flows);
        let is_it = |row: &&Row| {
            row.case == case
                && row.size == wanted
                && row.ip == Ip::V4
                && row.transport == Transport::Tcp
        };
        rows.iter().find(is_it).map(|row| &row.ns)
    };
    for (id, case, flows) in [
        ("T3-known", Case::Known, 2),
        ("T3-new", Case::New, 1_024),
        ("T3-none", Case::NoService, 2),
    ] {
        let (few, many) = (find(case, flows, flows), find(case, 65_536, flows));
        let (Some(few), Some(many)) = (few, many) else {
            report.absent(id, "this run has no 65,536 Services");
            continue;
        };
        let growth = ratio(many, few);
        let what = format!(
            "{}: nanoseconds at 65,536 Services by those at {flows}, {flows} flows",
            case.name()
        );
        report.target(Target::at_most(id, what, (1.10, "x"), growth));
    }
}

fn section(floor: Option<Estimate>, rows: &[Row]) -> Section {
    let floor = floor.map(|ns| {
        let mut cells = vec![Cell::text(EMPTY)];
        cells.resize(5, Cell::text(""));
        cells.push(Cell::Figure(ns, "ns"));
        cells.push(Cell::text(""));
        cells
    });

    let cells = rows.iter().map(|row| {
        vec![
            Cell::text(row.case.name()),
            Cell::text(row.ip.name()),
            Cell::text(row.transport.name()),
            Cell::text(row.size.services.to_string()),
            Cell::text(row.size.flows.to_string()),
            Cell::Figure(Estimate::median(&row.ns), "ns"),
            if row.instructions.is_empty() {
                Cell::text("")
            } else {
                Cell::Figure(Estimate::median(&row.instructions), "")
            },
        ]
    });
    let table = Table {
        title: "One packet, by test run".to_owned(),
        columns: [
            "packet",
            "family",
            "protocol",
            "Services",
            "flows",
            "time",
            "instructions",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: floor.into_iter().chain(cells).collect(),
    };
    let lines = [Case::New, Case::Known, Case::Reply].map(|case| Line {
        name: case.name().to_owned(),
        points: rows
            .iter()
            .filter(|row| row.case == case && row.size.services == row.size.flows)
            .filter(|row| row.ip == Ip::V4 && row.transport == Transport::Tcp)
            .map(|row| (f64::from(row.size.flows), Estimate::median(&row.ns)))
            .collect(),
    });
    Section {
        title: "One packet".to_owned(),
        text: TEXT.map(str::to_owned).to_vec(),
        tables: vec![table],
        plots: vec![Plot {
            title: "TCP over IPv4".to_owned(),
            x: "Services, with a flow each".to_owned(),
            y: "ns".to_owned(),
            lines: lines.to_vec(),
        }],
    }
}
