// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent as it is shipped, with the sizes that it has by default, in a network namespace of its
//! own and before an API server: what it takes of the machine's memory.

use std::{fs, time::Duration};

use anyhow::Context as _;
use lb_userspace::datapath::pin::Pins;
use tests::{api_server::ApiServer, netns::Namespace, wait};

use super::{Sizes, maps};
use crate::{
    Bench, ENDPOINTS, Scale,
    agent::{self, Agent},
    cluster::Cluster,
    estimate::Estimate,
    report::{Cell, Report, Section, Table, Target},
};

/// How long after the last write memory is read.
const REST: Duration = Duration::from_secs(2);

/// Of one process.
struct Taken {
    /// `VmRSS`, in bytes.
    resident: f64,
    /// `RssAnon`: what is not read from files.
    anonymous: f64,
    /// `VmHWM`: the most there ever was.
    peak: f64,
    /// From its start until all is written.
    start_ms: f64,
    maps: Vec<(String, f64, bool)>,
}

/// Starts agents, one after another, and asks the kernel what they take.
pub(super) fn measure(
    bench: &Bench,
    sizes: Sizes,
    report: &mut Report,
    section: &mut Section,
) -> anyhow::Result<()> {
    let cluster = Cluster::new(sizes.most_asked, ENDPOINTS);
    let namespace = bench.lab.namespace("node")?;
    let server = agent::serve(&namespace, &cluster)?;
    let rounds = match bench.scale {
        Scale::Full => 6,
        Scale::Quick => 2,
        Scale::Smoke => 1,
    };
    let mut taken = Vec::new();
    for round in 0..rounds {
        let what = format!("control: memory of the agent, round {round}");
        bench.progress.now(&what);
        match start(bench, &namespace, &server, &cluster) {
            Ok(life) => taken.push(life),
            Err(error) => {
                report.absent("T9-agent", format!("{error:#}"));
                report.absent("T9-maps", "the agent could not be measured");
                return Ok(());
            }
        }
    }
    if sizes.are_asked() {
        let what = "resident memory of the agent at 10,000 Services x 10";
        let resident = estimate(&taken, |it| it.resident, 1e-6);
        report.target(Target::at_most("T9-agent", what, (64.0, "MB"), resident));
        let what = "maps beside those of flows, of the default sizes, which hold 10,000 x 10";
        let beside = estimate(&taken, Taken::maps_of_services, 1e-6);
        report.target(Target::at_most("T9-maps", what, (64.0, "MB"), beside));
    }
    section.tables.push(table(&taken, sizes));
    Ok(())
}

impl Taken {
    /// What maps take, in bytes, but for those of flows.
    fn maps_of_services(&self) -> f64 {
        let maps = self.maps.iter().filter(|(_, _, is_of_flows)| !is_of_flows);
        maps.map(|(_, bytes, _)| bytes).sum()
    }
}

fn estimate(taken: &[Taken], figure: fn(&Taken) -> f64, factor: f64) -> Estimate {
    let all: Vec<_> = taken.iter().map(figure).collect();
    Estimate::median(&all).times(factor)
}

fn table(taken: &[Taken], sizes: Sizes) -> Table {
    let row = |name: &str, figure: fn(&Taken) -> f64, factor, unit| {
        let figure = estimate(taken, figure, factor);
        vec![Cell::text(name), Cell::Figure(figure, unit)]
    };
    let mut rows = vec![
        row("resident (VmRSS)", |it| it.resident, 1e-6, "MB"),
        row(
            "of it not read from files (RssAnon)",
            |it| it.anonymous,
            1e-6,
            "MB",
        ),
        row("resident at most (VmHWM)", |it| it.peak, 1e-6, "MB"),
        row("maps of Services", Taken::maps_of_services, 1e-6, "MB"),
        row(
            "start of the process until all is written",
            |it| it.start_ms,
            1.0,
            "ms",
        ),
    ];
    for (name, bytes, is_of_flows) in taken.first().map_or(&[][..], |taken| &taken.maps) {
        let of = if *is_of_flows { "flows" } else { "Services" };
        let cell = Cell::text(format!("{:.2} MB", bytes / 1e6));
        rows.push(vec![Cell::text(format!("map of {of}: {name}")), cell]);
    }
    Table {
        title: format!(
            "The agent as a process, at {} Services x {ENDPOINTS}, sizes by default",
            sizes.most_asked
        ),
        columns: ["what", "how much"].map(str::to_owned).to_vec(),
        rows,
    }
}

/// One life of an agent over maps of its own.
fn start(
    bench: &Bench,
    namespace: &Namespace,
    server: &ApiServer,
    cluster: &Cluster,
) -> anyhow::Result<Taken> {
    let flags = ["--edge", "none", "--uplink", "none"];
    let mut agent = Agent::start(bench, namespace, server, cluster, &flags)?;
    wait::pass(REST);
    let pid = agent.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: Option<f64> =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kib.map(|kib| kib * 1024.0)
            .with_context(|| format!("/proc/{pid}/status has no {name}"))
    };
    Ok(Taken {
        resident: field("VmRSS:")?,
        anonymous: field("RssAnon:")?,
        peak: field("VmHWM:")?,
        start_ms: agent.started_in.as_secs_f64() * 1e3,
        maps: maps::bytes(&Pins::new(agent.pins()).current().maps())?,
    })
}
