// SPDX-License-Identifier: MIT OR Apache-2.0
//! The XDP part: what a packet costs that goes from one other machine to another, before the host's
//! stack: by test run, and as packets of a second over links.

mod chain;
mod forward;
mod tunnel;

use aya::{TestRun as _, TestRunOptions};
use tests::{
    early::{Does, Early},
    packet::tcp,
};

use crate::{
    Bench, Scale,
    estimate::{Budget, Estimate},
    packet::ring::Ip,
    report::{Cell, Report, Section, Table, Target},
};
use chain::Chain;

/// What a packet meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    NoService,
    Known,
    Reply,
    New,
    Dropped,
    Refused,
}

impl Case {
    const fn name(self) -> &'static str {
        match self {
            Self::NoService => "no Service",
            Self::Known => "known flow",
            Self::Reply => "answer of one",
            Self::New => "new flow",
            Self::Dropped => "not admitted",
            Self::Refused => "no endpoint, answered",
        }
    }

    fn ns(self, chain: &mut Chain) -> anyhow::Result<f64> {
        match self {
            Self::NoService => chain.no_service_ns(),
            Self::Known => chain.known_ns(),
            Self::Reply => chain.reply_ns(),
            Self::New => chain.new_ns(),
            Self::Dropped => chain.dropped_ns(),
            Self::Refused => chain.refused_ns(),
        }
    }
}

/// What is measured: cases at a number of Services, each with one flow. With one Service, the ring
/// is of one flow.
const ROWS: [(u32, &[Case]); 3] = [
    (
        1,
        &[
            Case::NoService,
            Case::Dropped,
            Case::Refused,
            Case::New,
            Case::Known,
            Case::Reply,
        ],
    ),
    (
        1_000,
        &[Case::NoService, Case::New, Case::Known, Case::Reply],
    ),
    (65_536, &[Case::NoService, Case::Known, Case::Reply]),
];

/// What Katran takes, nanoseconds less those of an empty program, where that takes 27.
type Limit = (&'static str, Ip, u32, Case, f64);

const LIMITS: [Limit; 1] = [("T4-no-service", Ip::V4, 1, Case::NoService, 49.0)];
const KATRANS_FLOOR: f64 = 27.0;

const TEXT: [&str; 3] = [
    "Nanoseconds of the program for a packet, by the kernel's own count (BPF_PROG_TEST_RUN), with \
     those of an empty program in the same run taken off. A packet comes by an uplink, from a \
     client to a Service whose backend is beyond it as well: both ends of it change, and it is \
     sent on. Its way is asked of the host's routing table, and remembered.",
    "Services stand in a ring, in which each one's backend has the next one's address: each run is \
     of the next flow. Packets are sent on as the node's, and answers come back; what is compared \
     with Katran, whose backends answer themselves, is below.",
    "Packets per second: a source at one end sends 60-byte frames of 4,096 flows out of its link \
     (live frames), the node sends them on by another, and a sink counts and drops them. One \
     processor does all of it.",
];

struct Row {
    ip: Ip,
    services: u32,
    case: Case,
    ns: Estimate,
}

/// Measures all of it.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let (seconds, most, families) = match bench.scale {
        Scale::Full => (90, u32::MAX, &Ip::ALL[..]),
        // Those that targets speak of.
        Scale::Quick => (6, 1, &[Ip::V4][..]),
        Scale::Smoke => (0, 1, &Ip::ALL[..]),
    };
    let rows: Vec<_> = ROWS.into_iter().filter(|(size, _)| *size <= most).collect();
    let wanted = |case: Case, of: &str| bench.wants(&format!("alone, {}, {of}", case.name()));
    let count: usize = rows.iter().map(|(_, cases)| cases.len()).sum();
    let count = families.len() * count + 2;
    let mut budget = Budget::of_seconds(seconds, u32::try_from(count)?);
    let [floor, turn] = [Does::Pass, Does::Turn].map(|does| floor(bench, does, &mut budget));
    let (floor, turn) = (floor?, turn?);
    let mut found = Vec::new();
    for &ip in families {
        for (services, cases) in &rows {
            let services = *services;
            let of = format!("{}, {services} Services", ip.name());
            let mut cases = cases.iter().filter(|case| wanted(**case, &of)).peekable();
            if cases.peek().is_none() {
                continue;
            }
            bench.progress.now(&format!("xdp: {of}"));
            let mut chain = Chain::new(&bench.lab, ip, services)?;
            for case in cases {
                if *case == Case::Known {
                    chain.open()?;
                }
                let effort = budget.take(bench.scale.effort());
                let gross = effort.median(|_| case.ns(&mut chain))?;
                found.push(Row {
                    ip,
                    services,
                    case: *case,
                    ns: less(gross, floor),
                });
            }
        }
    }
    let mut section = Section {
        title: "XDP".to_owned(),
        text: TEXT.map(str::to_owned).to_vec(),
        tables: vec![table(&found, floor, turn)],
        plots: Vec::new(),
    };
    targets(&found, floor, bench.scale, report);
    tunnel::measure(bench, floor, &mut section, report)?;
    if bench.wants(forward::NAME) {
        forward::measure(bench, &mut section, report)?;
    } else {
        report.absent("T5-xdp", "not asked for");
    }
    report.section(section);
    Ok(())
}

/// What a program takes that does no more than this.
fn floor(bench: &Bench, does: Does, budget: &mut Budget) -> anyhow::Result<Estimate> {
    let mut early = Early::load(does)?;
    let frame = tcp(Ip::V4.client(), Ip::V4.stranger()).ack().bytes();
    let effort = budget.take(bench.scale.effort());
    effort.median(|_| {
        let ran = early.program()?.test_run(TestRunOptions {
            data_in: Some(&frame),
            repeat: 10_000,
            ..TestRunOptions::default()
        })?;
        Ok(ran.duration.as_secs_f64() * 1e9)
    })
}

/// What is beyond a floor.
fn less(gross: Estimate, floor: Estimate) -> Estimate {
    Estimate {
        value: gross.value - floor.value,
        low: gross.low - floor.high,
        high: gross.high - floor.low,
        ..gross
    }
}

fn table(rows: &[Row], floor: Estimate, turn: Estimate) -> Table {
    let figure = |estimate| Cell::Figure(estimate, "ns");
    let mut cells = vec![
        vec![
            Cell::text("an empty program (XDP_PASS), not taken off"),
            Cell::text(""),
            Cell::text(""),
            figure(floor),
        ],
        vec![
            Cell::text("one that sends packets back (XDP_TX)"),
            Cell::text(""),
            Cell::text(""),
            figure(less(turn, floor)),
        ],
    ];
    cells.extend(rows.iter().map(|row| {
        vec![
            Cell::text(row.case.name()),
            Cell::text(row.ip.name()),
            Cell::text(row.services.to_string()),
            figure(row.ns),
        ]
    }));
    Table {
        title: "The program alone".to_owned(),
        columns: ["a packet", "over", "Services and flows", "takes"]
            .map(str::to_owned)
            .to_vec(),
        rows: cells,
    }
}

fn targets(rows: &[Row], floor: Estimate, scale: Scale, report: &mut Report) {
    for (id, ip, services, case, limit) in LIMITS {
        let mut measured = rows.iter().filter(|_| scale != Scale::Smoke);
        let row = measured.find(|row| (row.ip, row.services, row.case) == (ip, services, case));
        let Some(row) = row else {
            report.absent(id, "not of this size, or not asked for");
            continue;
        };
        let what = format!(
            "XDP, {}, {} over {services} Services",
            case.name(),
            ip.name()
        );
        let limit = limit * floor.value / KATRANS_FLOOR;
        report.target(Target::at_most(id, what, (limit, "ns"), row.ns));
    }
}
