// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche explain`: from the pinned maps alone.

use super::{Listing, output};
use clap::Args;
use lb_userspace::{
    clock,
    datapath::pin::Pins,
    explain::{Candidate, Explanation, Maps, Question, explain, parse_client, parse_dialled},
    maps::{
        Frontend,
        kernel::{KernelStore, KernelTables},
    },
};
use std::net::SocketAddr;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Who dials, such as 10.1.0.5:40000; an IPv6 address stands in brackets.
    #[arg(value_name = "CLIENT:PORT", value_parser = parse_client)]
    client: SocketAddr,
    /// What it dials, such as 10.96.0.10:80/TCP.
    #[arg(value_name = "ADDRESS:PORT/PROTOCOL", value_parser = parse_dialled)]
    dialled: Frontend,
    /// A TCP segment in the middle of a connection, instead of a SYN.
    #[arg(long)]
    established: bool,
    #[command(flatten)]
    listing: Listing,
}

pub(super) fn execute(args: &ExplainArgs) -> anyhow::Result<()> {
    let question = Question::new(args.client, args.dialled, args.established)?;
    let pins = Pins::new(&args.listing.pins.pin_dir).current().maps();
    let store = KernelStore::open(&pins)?;
    let tables = KernelTables::open(&pins)?;
    let maps = Maps {
        store: &store,
        tables: &tables,
    };
    let explanation = explain(&maps, &question, clock::monotonic_ns())?;
    if args.listing.output.format == output::Format::Json {
        return output::json(&explanation);
    }
    show(&explanation)
}

fn show(explanation: &Explanation) -> anyhow::Result<()> {
    let Explanation {
        packet,
        stages,
        reason,
        verdict,
        meaning,
        ..
    } = explanation;
    output::text(packet)?;
    for stage in stages {
        output::text(&format!("  {:<9}  {}", stage.name, stage.decision))?;
        for candidate in &stage.candidates {
            output::text(&format!("  {:9}    {}", "", line(candidate)))?;
        }
    }
    output::text(&format!(
        "  {:<9}  {verdict}, {reason}: {meaning}",
        "verdict"
    ))
}

fn line(candidate: &Candidate) -> String {
    let by = match (candidate.slot, candidate.id) {
        (Some(slot), _) => format!("slot {slot}: "),
        (None, _) => "pinned: ".to_owned(),
    };
    let backend = match (&candidate.backend, candidate.id) {
        (Some(backend), _) => backend.clone(),
        (None, Some(id)) => format!("backend {id}"),
        (None, None) => "no backend".to_owned(),
    };
    let port = candidate.source_port;
    let port = port.map_or_else(String::new, |port| format!(" from port {port}"));
    format!(
        "{by}{backend} ({}){port}: {}",
        candidate.state, candidate.decision
    )
}
