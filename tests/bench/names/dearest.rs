// SPDX-License-Identifier: MIT OR Apache-2.0
//! What questions cost the server that are answered with most: for a Service of a thousand pods.

use std::{hint::black_box, time::Instant};

use lb_userspace::dns::{
    answer::{Reply, Transport, reply},
    zone::Zone,
};
use tests::names::{Query, zone};

use crate::{
    Bench, Scale,
    estimate::{Budget, Estimate},
    report::{Cell, Report, Table, Target},
};

/// What the part calls them.
pub(super) const NAME: &str = "the dearest questions";

const TARGET: &str = "R52-time";

/// Numbers of types (RFC 1035, RFC 2782).
const A: u16 = 1;
const SRV: u16 = 33;

const QUESTIONS: [(&str, &str, u16); 2] = [
    ("addresses", "crowd.default.svc.cluster.local", A),
    (
        "ports, with addresses",
        "_sql._tcp.crowd.default.svc.cluster.local",
        SRV,
    ),
];

/// Answers one after the other that are timed as one.
const ANSWERS: u32 = 10;

/// Measures all of it.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<Table> {
    bench.progress.now("names: the dearest questions");
    let seconds = match bench.scale {
        Scale::Full => 8,
        Scale::Quick => 2,
        Scale::Smoke => 0,
    };
    let zone = zone();
    let ways = [(Transport::Udp, "by UDP"), (Transport::Tcp, "by TCP")];
    let mut budget = Budget::of_seconds(seconds, u32::try_from(QUESTIONS.len() * ways.len())?);
    let mut rows = Vec::new();
    let mut dearest: Option<Estimate> = None;
    for (what, name, kind) in QUESTIONS {
        let query = Query::of(name, kind).bytes();
        for (transport, by) in ways {
            let bytes = answer(&zone, &query, transport)?.len();
            let effort = budget.take(bench.scale.effort());
            let us = effort.median(|_| {
                let begun = Instant::now();
                for _ in 0..ANSWERS {
                    black_box(answer(&zone, &query, transport)?);
                }
                Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(ANSWERS))
            })?;
            rows.push(vec![
                Cell::text(format!("{what}, {by}")),
                Cell::text(format!("{bytes} bytes")),
                Cell::Figure(us, "µs"),
            ]);
            if dearest.is_none_or(|other| us.value > other.value) {
                dearest = Some(us);
            }
        }
    }
    if let Some(dearest) = dearest.filter(|_| bench.scale != Scale::Smoke) {
        let what = "the server's code: the dearest question";
        report.target(Target::at_most(TARGET, what, (1_000.0, "µs"), dearest));
    } else {
        report.absent(TARGET, "not of this size");
    }
    Ok(Table {
        title: format!("In the server's code, {NAME}: of a Service with 1,000 pods"),
        columns: ["question", "answer", "takes"].map(str::to_owned).to_vec(),
        rows,
    })
}

fn answer(zone: &Zone, query: &[u8], transport: Transport) -> anyhow::Result<Vec<u8>> {
    match reply(zone, query, transport, true) {
        Reply::Send(answer) => Ok(answer),
        Reply::Ask(_) | Reply::Ignore => anyhow::bail!("a name of the zone was not answered"),
    }
}
