// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bench: how fast, how cheap, at what scale, beside what is there without Weiche.
//!
//! Each part measures the product's own code on this machine's kernel, and adds a section, and
//! rows of targets, to one report. Parts know nothing of each other, and nothing of how a report
//! is shown.

mod control;
mod path;
mod packet;
mod names;
mod xdp;

mod agent;
mod cluster;
mod compare;
mod estimate;
mod instructions;
mod machine;
mod nft;
mod progress;
mod report;
mod ruleset;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use compare::Old;
use estimate::Effort;
use machine::Machine;
use progress::Progress;
use report::{Report, terminal};
use tests::netns::Lab;

/// Measures Weiche on this machine, and writes report.json and report.html.
#[derive(Debug, Parser)]
#[command(name = "weiche-bench", version)]
struct Arguments {
    /// What to measure [default: everything there is].
    #[arg(value_name = "PART")]
    parts: Vec<Part>,
    /// In three minutes at most: fewer sizes, fewer rounds.
    #[arg(long)]
    quick: bool,
    /// In seconds, with sizes that show nothing but that the bench works.
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// Only rows whose name has all of these words, as `known,ipv4,tcp`; targets of others are
    /// absent.
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    only: Vec<String>,
    /// The program `weiche` [default: the one beside this program].
    #[arg(long, value_name = "FILE")]
    weiche: Option<PathBuf>,
    /// A kube-proxy, which is measured beside: `path` runs it in its nftables mode.
    #[arg(long, value_name = "FILE")]
    kube_proxy: Option<PathBuf>,
    /// A report.json of an earlier run: what became better or worse since, beyond the noise.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Folder for the report.
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    out: PathBuf,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From a change of the cluster to the kernel's maps, and what it costs in memory.
    Control,
    /// What a connection, a request and a datagram cost, beside dialling the pod and beside nft.
    Path,
    /// Nanoseconds of a program for one packet, by the number of Services and of flows.
    Packet,
    /// Names: queries that a processor answers in a second, and how long one takes.
    Dns,
    /// What goes from one other machine to another, before the host's stack.
    Xdp,
}

/// Endpoints of each Service, but where it is said.
const ENDPOINTS: u32 = 10;

/// What every part works with.
struct Bench {
    scale: Scale,
    /// Words that the name of a row must have.
    only: Vec<String>,
    /// The program that is measured.
    weiche: PathBuf,
    /// And one that it is compared with.
    kube_proxy: Option<PathBuf>,
    /// Owns all that is made outside of this process's memory.
    lab: Lab,
    /// Where maps are pinned.
    bpffs: PathBuf,
    progress: Progress,
}

impl Bench {
    /// Whether a row of this name is asked for.
    fn wants(&self, row: &str) -> bool {
        let row = row.to_lowercase();
        let mut words = self.only.iter();
        words.all(|word| row.contains(&word.trim().to_lowercase()))
    }
}

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Full,
    Quick,
    Smoke,
}

impl Scale {
    /// How long a row may be repeated until its interval is tight.
    fn effort(self) -> Effort {
        match self {
            Self::Full => Effort::of_seconds(60),
            Self::Quick => Effort::of_seconds(8),
            Self::Smoke => Effort::of_seconds(0),
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weiche-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let scale = match (arguments.quick, arguments.smoke) {
        (true, _) => Scale::Quick,
        (_, true) => Scale::Smoke,
        _ => Scale::Full,
    };
    let old = arguments.compare.as_deref().map(Old::read).transpose()?;
    let beside = std::env::current_exe()?.with_file_name("weiche");
    let weiche = arguments.weiche.unwrap_or(beside);
    let machine = Machine::look(&weiche)?;
    let lab = Lab::new("bench")?;
    let bench = Bench {
        scale,
        only: arguments.only,
        weiche,
        kube_proxy: arguments.kube_proxy,
        bpffs: lab.mount_bpffs()?,
        lab,
        progress: Progress::new(),
    };
    let mut report = Report::new(machine, &format!("{scale:?}").to_lowercase());
    let mut parts = arguments.parts;
    if parts.is_empty() {
        parts.extend(Part::value_variants());
    }
    for part in parts {
        match part {
            Part::Control => control::measure(&bench, &mut report).context("part control")?,
            Part::Packet => packet::measure(&bench, &mut report).context("part packet")?,
            Part::Dns => names::measure(&bench, &mut report).context("part dns")?,
            Part::Xdp => xdp::measure(&bench, &mut report).context("part xdp")?,
            Part::Path => path::measure(&bench, &mut report).context("part path")?,
        }
    }
    bench.progress.clear();
    report.write(&arguments.out)?;
    print!("{}", terminal::summary(&report));
    if let Some(old) = old {
        print!("\n{}", old.compare(&report.value()?));
    }
    println!(
        "written to {}/report.{{json,html}}",
        arguments.out.display()
    );
    Ok(())
}
