// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche explain`: from the pinned maps alone.

use super::{Listing, output};
use clap::Args;
use lb_common::wire::{Resolver, ResolverMode, protocol};
use lb_userspace::{
    clock,
    datapath::pin::Pins,
    explain::{Candidate, Explanation, Maps, Question, explain, parse_client, parse_dialled},
    maps::{
        Frontend,
        kernel::{KernelNames, KernelStore, KernelTables},
    },
};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr, UdpSocket};

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
    /// The client is outside of the cluster: its packets come in by an uplink.
    #[arg(long)]
    from_outside: bool,
    #[command(flatten)]
    listing: Listing,
}

pub(super) fn execute(args: &ExplainArgs) -> anyhow::Result<()> {
    let mut question = Question::new(args.client, args.dialled, args.established)?;
    if args.from_outside {
        question = question.from_outside();
    }
    let pins = Pins::new(&args.listing.pins.pin_dir).current().maps();
    let store = KernelStore::open(&pins)?;
    let tables = KernelTables::open(&pins)?;
    let maps = Maps {
        store: &store,
        tables: &tables,
    };
    let is_name = is_question(&args.dialled, &KernelNames::open(&pins)?.resolver()?);
    let told = Told {
        explanation: explain(&maps, &question, clock::monotonic_ns())?,
        remark: remark(args.client.ip()).or_else(|| is_name.then(|| NAMES.to_owned())),
    };
    if args.listing.output.format == output::Format::Json {
        return output::json(&told);
    }
    show(&told.explanation)?;
    told.remark.map_or(Ok(()), |remark| {
        output::text(&format!("  {:<9}  {remark}", "but"))
    })
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    explanation: Explanation,
    /// Why it would not come to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
}

const NAMES: &str = "a question for a name that the kernel knows is answered by it, and goes to no \
                     backend; `weiche dns explain NAME` says which";

/// Whether the kernel reads what is dialled as a question for a name.
fn is_question(dialled: &Frontend, resolver: &Resolver) -> bool {
    let address = match dialled.address {
        IpAddr::V4(address) => address.octets() == resolver.narrow,
        IpAddr::V6(address) => address.octets() == resolver.wide,
    };
    address
        && dialled.port.to_be_bytes() == resolver.port
        && dialled.protocol == protocol::UDP
        && ResolverMode::from_byte(resolver.mode) == ResolverMode::On
}

/// Packets of the node's own processes pass no edge. Only where its addresses are can they be a
/// socket's.
fn remark(client: IpAddr) -> Option<String> {
    if client.is_unspecified() || client.is_multicast() {
        // A socket would take these as well.
        return None;
    }
    UdpSocket::bind((client, 0)).ok()?;
    Some(format!(
        "{client} is this node's own: packets of its processes pass no edge, so none of this \
         happens to them; this version does not serve them"
    ))
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
