// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control part: from a change of the cluster to the kernel's maps.
//!
//! The agent's own loop, built as it is shipped, over real maps that nobody's packets use; the
//! agent as a process of its own for what it costs in memory; and beside it `nft`, with rules of
//! the shape that kube-proxy writes.

mod maps;
mod scale;
mod churn;
mod driver;
mod process;
mod netfilter;

use anyhow::Context as _;

use crate::{
    Bench, Scale,
    estimate::Budget,
    report::{Report, Section},
};

/// Measures all of it.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mut section = Section {
        title: "Control plane".to_owned(),
        text: TEXT.map(str::to_owned).to_vec(),
        tables: Vec::new(),
        plots: Vec::new(),
    };
    let sizes = Sizes::of(bench.scale);
    // Cold syncs, the one large Service's among them, and nft's loads and changes.
    let repeated = sizes.services.len() + 1 + 2 * sizes.nft.len();
    let mut budget = Budget::of_seconds(sizes.seconds, u32::try_from(repeated)?);
    let rows = scale::measure(bench, sizes, &mut budget, report).context("scale")?;
    if bench.wants("churn") {
        churn::measure(bench, sizes, report, &mut section).context("churn")?;
    } else {
        report.absent("churn", NOT_ASKED);
    }
    if bench.wants("memory") {
        process::measure(bench, sizes, report, &mut section).context("the agent's memory")?;
    } else {
        report.absent("T9-agent", NOT_ASKED);
        report.absent("T9-maps", NOT_ASKED);
    }
    let netfilter = if bench.wants("nft") {
        let loaded = netfilter::measure(bench, sizes, &mut budget, &mut section);
        loaded.context("netfilter")?
    } else {
        Vec::new()
    };
    scale::show(&rows, &netfilter, &mut section);
    report.section(section);
    Ok(())
}

/// Why a target is absent whose row `--only` leaves out.
const NOT_ASKED: &str = "this run was not asked for it";

const TEXT: [&str; 3] = [
    "Cold sync: from the end of the lists that the API server sends until every map is written, in \
     the loop that `weiche run` runs, with the kernel's maps, on one thread.",
    "One change: a pod is replaced by another one, so an endpoint goes and one comes; from the \
     moment that the loop is told until its round is over. Nothing else happens meanwhile.",
    "Netfilter: rules of the shape that kube-proxy's nftables mode writes, loaded and changed by \
     `nft -f` in a network namespace without traffic. kube-proxy's own time is not in it.",
];

/// What a run measures.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Numbers of Services.
    services: &'static [u32],
    /// What targets speak of.
    most_asked: u32,
    /// Endpoints of the one large Service.
    large: u32,
    /// Changes in a row whose times make one set of samples.
    changes: u32,
    /// How long changes come at 1,000/s.
    churn_s: u32,
    /// Numbers of Services that nft is given.
    nft: &'static [u32],
    /// How long the rows that are repeated may take in seconds, all together.
    seconds: u64,
}

impl Sizes {
    const fn of(scale: Scale) -> Self {
        match scale {
            Scale::Full => Self {
                services: &[1_000, 10_000, 50_000],
                most_asked: 10_000,
                large: 5_000,
                changes: 1_000,
                churn_s: 30,
                nft: &[100, 1_000, 10_000],
                seconds: 4 * 60,
            },
            Scale::Quick => Self {
                services: &[1_000, 10_000],
                changes: 200,
                churn_s: 5,
                nft: &[100, 1_000],
                seconds: 20,
                ..Self::of(Scale::Full)
            },
            Scale::Smoke => Self {
                services: &[20, 40],
                most_asked: 40,
                large: 50,
                changes: 20,
                churn_s: 1,
                nft: &[10],
                seconds: 0,
            },
        }
    }

    /// Whether the run has the sizes that targets speak of.
    const fn are_asked(self) -> bool {
        self.most_asked == 10_000
    }
}
