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
    estimate::{Budget, Estimate},
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
    ns: Estimate,
}

const TEXT: [&str; 2] = [
    "Nanoseconds of the TC program for one packet, as the kernel counts them when it runs the \
     program many times in a row (BPF_PROG_TEST_RUN), caches warm. `an empty program` is what such \
     a run costs by itself.",
    "Services stand in a ring, in which the backend of each is the address of the next: so each \
     run translates for another flow, and with 65,536 of them none is in the cache.",
];

/// Measures all of it.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let sizes: &[Size] = match bench.scale {
        Scale::Full => &[
            Size::new(2, 2),
            Size::new(1_024, 1_024),
            Size::new(65_536, 2),
            Size::new(65_536, 1_024),
            Size::new(65_536, 65_536),
        ],
        // Those that targets speak of.
        Scale::Quick => &[
            Size::new(2, 2),
            Size::new(1_024, 1_024),
            Size::new(65_536, 2),
            Size::new(65_536, 1_024),
        ],
        Scale::Smoke => &[Size::new(2, 2), Size::new(16, 16)],
    };
    let seconds = match bench.scale {
        Scale::Full => 300,
        Scale::Quick => 20,
        Scale::Smoke => 0,
    };
    let kinds = Ip::ALL.len() * Transport::ALL.len() * Case::ALL.len();
    let mut budget = Budget::of_seconds(seconds, u32::try_from(sizes.len() * kinds)?);
    let floor = bench.wants(EMPTY).then(|| floor(bench)).transpose()?;
    let mut rows = Vec::new();
    for &size in sizes {
        for ip in Ip::ALL {
            for transport in Transport::ALL {
                let of = format!("{} over {}, {}", transport.name(), ip.name(), size.name());
                let cases = Case::ALL.into_iter();
                let cases = cases.filter(|case| bench.wants(&format!("{}, {of}", case.name())));
                let cases: Vec<_> = cases.collect();
                if cases.is_empty() {
                    continue;
                }
                bench.progress.now(&format!("packet: {of}"));
                let mut ring = Ring::new(ip, transport, size.services, size.flows)?;
                for case in cases {
                    let effort = budget.take(bench.scale.effort());
                    let ns = effort.median(|_| run(&mut ring, case, size))?;
                    rows.push(Row {
                        ip,
                        transport,
                        case,
                        size,
                        ns,
                    });
                }
            }
        }
    }
    targets(&rows, report);
    report.section(section(floor, &rows));
    Ok(())
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

/// One sample: nanoseconds for a packet.
fn run(ring: &mut Ring, case: Case, size: Size) -> anyhow::Result<f64> {
    let (hook, frame) = match case {
        Case::NotIp => (Hook::Ingress, ring.not_ip()),
        Case::NoService => (Hook::Ingress, ring.no_service()),
        Case::New => (Hook::Ingress, ring.first()),
        Case::Known => (Hook::Ingress, ring.later()),
        Case::Reply => (Hook::Egress, ring.reply()),
    };
    let runs = match case {
        // Once round, until every flow is known.
        Case::New => {
            ring.forget()?;
            size.flows
        }
        _ => RUNS,
    };
    if matches!(case, Case::Known | Case::Reply) {
        ring.open()?;
    }
    let ran = ring.program(hook)?.test_run(TestRunOptions {
        data_in: Some(&frame),
        repeat: runs,
        ..TestRunOptions::default()
    })?;
    ring.check()?;
    Ok(ran.duration.as_secs_f64() * 1e9)
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
        rows.iter().find(is_it).map(|row| row.ns)
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
        let growth = many.over(few);
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
        cells
    });
    let cells = rows.iter().map(|row| {
        vec![
            Cell::text(row.case.name()),
            Cell::text(row.ip.name()),
            Cell::text(row.transport.name()),
            Cell::text(row.size.services.to_string()),
            Cell::text(row.size.flows.to_string()),
            Cell::Figure(row.ns, "ns"),
        ]
    });
    let table = Table {
        title: "One packet, by test run".to_owned(),
        columns: ["packet", "family", "protocol", "Services", "flows", "time"]
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
            .map(|row| (f64::from(row.size.flows), row.ns))
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
