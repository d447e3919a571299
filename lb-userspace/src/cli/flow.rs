// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche flow list`: from the pinned maps alone.

use super::{
    Listing, output,
    service::{meant, protocol, unknown},
};
use clap::{Args, Subcommand};
use lb_common::{
    conntrack::{Age, age},
    family::WideAddress,
    tables::Stage,
    wire::{Backend, Flow, Timeouts},
};
use lb_userspace::{
    clock,
    datapath::pin::Pins,
    maps::{
        Store as _, backend_address,
        kernel::{FlowEntry, KernelFlows, KernelStore, TunnelEntry},
    },
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

#[derive(Debug, Subcommand)]
pub(super) enum FlowCommand {
    /// Connections that are tracked, half-open ones included, and those that go through tunnels to
    /// other nodes (direct server return), which are tracked there.
    #[command(after_long_help = "Example: weiche flow list --service default/web -o json")]
    List(ListArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only flows to this Service: `namespace/name`, or `name` for namespace `default`.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// One flow, as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    service: String,
    protocol: String,
    client: String,
    address: String,
    backend: String,
    state: &'static str,
    age_s: u64,
    /// How long it may still be silent; how long a tombstone is still there. None for a flow that
    /// another node serves: that one knows.
    expires_s: Option<u64>,
}

pub(super) fn execute(command: &FlowCommand) -> anyhow::Result<()> {
    let FlowCommand::List(args) = command;
    let maps = Pins::new(&args.listing.pins.pin_dir).current().maps();
    let store = KernelStore::open(&maps)?;
    let labels: BTreeMap<_, _> = store.labels()?.into_iter().collect();
    if let Some(typed) = &args.service
        && !labels.values().any(|label| meant(typed, label))
    {
        return Err(unknown(typed));
    }
    let timeouts = store.node()?.timeouts;
    let now_ns = clock::monotonic_ns();
    let mut rows = Vec::new();
    let label = |id: u32| labels.get(&id).cloned().unwrap_or_else(|| format!("#{id}"));
    let flows = KernelFlows::open(&maps)?;
    for entry in flows.list()? {
        let label = label(entry.flow.service_id);
        if is_asked_for(args, &label) {
            rows.extend(row(&entry, label, now_ns, &timeouts));
        }
    }
    let backends: BTreeMap<_, _> = store.backends()?.into_iter().collect();
    for entry in flows.tunnelled()? {
        let backend = backends.get(&entry.tunnelled.backend);
        let backend = backend.filter(|backend| backend.epoch == entry.tunnelled.epoch);
        let label = backend.map_or("-".to_owned(), |backend| label(backend.service_id));
        if is_asked_for(args, &label) {
            rows.push(row_of_tunnel(&entry, backend, label, now_ns));
        }
    }
    output::rows(
        args.listing.output.format,
        [
            "SERVICE",
            "PROTOCOL",
            "CLIENT",
            "ADDRESS",
            "BACKEND",
            "STATE",
            "AGE",
            "EXPIRES IN",
        ],
        &rows,
        |row| {
            [
                row.service.clone(),
                row.protocol.clone(),
                row.client.clone(),
                row.address.clone(),
                row.backend.clone(),
                row.state.to_owned(),
                format!("{} s", row.age_s),
                row.expires_s
                    .map_or("-".to_owned(), |left| format!("{left} s")),
            ]
        },
    )
}

/// Nothing for a flow that is over, whose entry the kernel has not taken away yet: packets do not
/// see it either.
fn row(entry: &FlowEntry, service: String, now_ns: u64, timeouts: &Timeouts) -> Option<Row> {
    let age = age(&entry.flow, now_ns, timeouts);
    if age == Age::Gone {
        return None;
    }
    let Flow {
        born_ns,
        expires_ns,
        address,
        port,
        ..
    } = entry.flow;
    let until_ns = match age {
        Age::Live | Age::Gone => expires_ns,
        Age::Tombstone => expires_ns.saturating_add(timeouts.tombstone_ns),
    };
    Some(Row {
        service,
        protocol: protocol(entry.protocol),
        client: entry.client.to_string(),
        address: entry.service.to_string(),
        backend: SocketAddr::new(like(entry.client, address), u16::from_be_bytes(port)).to_string(),
        state: match entry.stage {
            _ if age == Age::Tombstone => "tombstone",
            Stage::HalfOpen => "half-open",
            Stage::Established => "tracked",
        },
        age_s: now_ns.saturating_sub(born_ns) / SECOND,
        expires_s: Some(until_ns.saturating_sub(now_ns) / SECOND),
    })
}

/// One that goes to another node through a tunnel. Where its backend is gone, only the address is
/// known.
fn row_of_tunnel(
    entry: &TunnelEntry,
    backend: Option<&Backend>,
    service: String,
    now_ns: u64,
) -> Row {
    let address = like(entry.client, entry.tunnelled.address);
    Row {
        service,
        protocol: protocol(entry.protocol),
        client: entry.client.to_string(),
        address: entry.service.to_string(),
        backend: backend.map_or(address.to_string(), |it| backend_address(it).to_string()),
        state: "tunnelled",
        age_s: now_ns.saturating_sub(entry.tunnelled.since_ns) / SECOND,
        expires_s: None,
    }
}

fn is_asked_for(args: &ListArgs, label: &str) -> bool {
    let typed = args.service.as_ref();
    typed.is_none_or(|typed| meant(typed, label))
}

/// A wide address, in the family of another one.
fn like(other: SocketAddr, wide: WideAddress) -> IpAddr {
    let [a, b, c, d, ..] = wide;
    if other.is_ipv4() {
        IpAddr::from([a, b, c, d])
    } else {
        IpAddr::from(wide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_listed_until_they_are_over() {
        let timeouts = Timeouts {
            tombstone_ns: 60 * SECOND,
            ..Timeouts::default()
        };
        let entry = |stage| FlowEntry {
            client: ([10, 0, 0, 1], 1).into(),
            service: ([10, 96, 0, 1], 80).into(),
            protocol: 6,
            stage,
            flow: Flow {
                expires_ns: 10 * SECOND,
                ..Flow::default()
            },
        };
        for (stage, now_s, said) in [
            (Stage::Established, 9, Some(("tracked", 1))),
            (Stage::Established, 10, Some(("tombstone", 60))),
            (Stage::Established, 70, None),
            (Stage::HalfOpen, 9, Some(("half-open", 1))),
            (Stage::HalfOpen, 69, Some(("tombstone", 1))),
            (Stage::HalfOpen, 70, None),
        ] {
            let row = row(&entry(stage), String::new(), now_s * SECOND, &timeouts);
            let row = row.and_then(|row| Some((row.state, row.expires_s?)));
            assert_eq!(row, said, "{stage:?} at {now_s} s");
        }
    }
}
