// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche service list` and `get`: from the pinned maps. What these cannot say, `get` takes from
//! what the agent last said: why frontends are there, and problems.

use super::{Listing, PinDir, StateDir, output};
use clap::{Args, Subcommand};
use lb_common::wire::{Backend, Manner, Refusals, Service, scope};
use lb_userspace::{
    clock,
    datapath::pin::Pins,
    maps::{Frontend, Store as _, StoreError, backend_address, backend_state, kernel::KernelStore},
    model::Forwarding,
    observe::{ObjectProblem, Status},
    plan::{Clients, Exposed, forwarding},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Every address and port that clients may dial, with the backends behind it.
    List(Listing),
    /// One Service's addresses, with the state of each backend.
    #[command(after_long_help = "Example: weiche service get default/web")]
    Get(GetArgs),
}

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// `namespace/name`, or `name` for namespace `default`; `:port-name` narrows it to one port.
    service: String,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    state: StateDir,
}

/// All that is known of one Service.
#[derive(Debug, Serialize)]
struct Known {
    /// What the kernel has.
    frontends: Vec<Row>,
    /// What the agent says of frontends that are no Cluster-IPs.
    exposed: Vec<Exposed>,
    /// What is wrong with its objects, as the agent last said.
    problems: Vec<ObjectProblem>,
}

/// One frontend, as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    service: String,
    address: String,
    port: u16,
    protocol: String,
    /// Whose entry it is: `all` clients', those `inside` the cluster, or those `outside` of it; or
    /// that of `tunnels`, by which other nodes send clients' packets.
    clients: &'static str,
    /// How clients from outside get to backends on other nodes, if they see the client.
    forwarding: Option<&'static str>,
    slots: u32,
    /// What becomes of clients where there is no backend.
    otherwise: &'static str,
    backends: Vec<BackendRow>,
}

#[derive(Debug, Serialize)]
struct BackendRow {
    id: u32,
    address: String,
    state: &'static str,
    slots: u32,
}

pub(super) fn execute(command: &ServiceCommand) -> anyhow::Result<()> {
    match command {
        ServiceCommand::List(listing) => {
            let mut rows = read(&listing.pins)?;
            rows.retain(|row| row.clients != Clients::Tunnelled.name());
            output::rows(
                listing.output.format,
                [
                    "SERVICE", "ADDRESS", "PORT", "PROTOCOL", "CLIENTS", "BACKENDS",
                ],
                &rows,
                |row| {
                    let Row {
                        service,
                        address,
                        port,
                        protocol,
                        clients,
                        backends,
                        otherwise,
                        ..
                    } = row;
                    let backends = match backends.len() {
                        0 => (*otherwise).to_owned(),
                        count => count.to_string(),
                    };
                    [
                        service.clone(),
                        address.clone(),
                        port.to_string(),
                        protocol.clone(),
                        (*clients).to_owned(),
                        backends,
                    ]
                },
            )
        }
        ServiceCommand::Get(args) => get(args),
    }
}

fn get(args: &GetArgs) -> anyhow::Result<()> {
    let mut frontends = read(&args.listing.pins)?;
    frontends.retain(|row| meant(&args.service, &row.service));
    let mut known = Known {
        frontends,
        exposed: Vec::new(),
        problems: Vec::new(),
    };
    // Without a word from an agent there is still what the kernel has.
    if let Ok(status) = Status::read(&args.state.state_dir) {
        known.exposed = status.sync.exposed;
        known
            .exposed
            .retain(|row| meant(&args.service, &row.service));
        known.problems = status.sync.problems;
        known
            .problems
            .retain(|problem| is_about(&args.service, problem));
    }
    if known.frontends.is_empty() && known.exposed.is_empty() && known.problems.is_empty() {
        return Err(unknown(&args.service));
    }
    if args.listing.output.format == output::Format::Json {
        return output::json(&known);
    }
    known.frontends.iter().try_for_each(show)?;
    let mut exposed = known.exposed.iter().map(exposed);
    exposed.try_for_each(|line| output::text(&line))?;
    let now_s = clock::unix_s();
    let mut problems = known.problems.iter().map(|problem| problem.line(now_s));
    problems.try_for_each(|line| output::text(&format!("problem: {line}")))
}

fn show(row: &Row) -> anyhow::Result<()> {
    let Row {
        service,
        address,
        port,
        protocol,
        clients,
        slots,
        forwarding,
        ..
    } = row;
    let clients = match *clients {
        "all" => String::new(),
        some => format!(" from {some}"),
    };
    let forwarding = said(*forwarding);
    output::text(&format!(
        "{service} {address} port {port} {protocol}{clients}, {slots} slots{forwarding}"
    ))?;
    output::rows(
        output::Format::Table,
        ["  BACKEND", "ID", "STATE", "SHARE"],
        &row.backends,
        |backend| {
            let share = f64::from(backend.slots) / f64::from((*slots).max(1)) * 100.0;
            [
                format!("  {}", backend.address),
                backend.id.to_string(),
                backend.state.to_owned(),
                format!("{share:.1} %"),
            ]
        },
    )
}

/// A frontend that is no Cluster-IP in one line.
pub(super) fn exposed(exposed: &Exposed) -> String {
    let clients = match exposed.clients.as_str() {
        "all" => String::new(),
        some => format!(" from {some}"),
    };
    let leads = match exposed.backends {
        0 => exposed.otherwise.clone(),
        count => format!("{count} of {}", exposed.endpoints),
    };
    let ranges = match exposed.ranges.as_deref() {
        None => String::new(),
        Some([]) => ", only nobody".to_owned(),
        Some(ranges) => format!(", only {}", ranges.join(" ")),
    };
    let forwarding = said(exposed.forwarding.as_deref());
    format!(
        "{} {} {}{clients}: {leads}{ranges}{forwarding}",
        exposed.service, exposed.exposure, exposed.frontend
    )
}

/// What a line says of how clients from outside get to other nodes.
fn said(forwarding: Option<&str>) -> String {
    let said = forwarding.map(|forwarding| format!(", forwarding: {forwarding}"));
    said.unwrap_or_default()
}

/// Whether a problem is one of the Service that somebody typed, or of a slice that is called like
/// the Service, with a suffix, as the cluster's controller calls them.
fn is_about(typed: &str, problem: &ObjectProblem) -> bool {
    let typed = whole(typed);
    let name = typed
        .split_once(':')
        .map_or(typed.as_str(), |(name, _)| name);
    match problem.object.split_once(' ') {
        Some(("Service", object)) => object == name,
        Some(("EndpointSlice", object)) => object
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('-')),
        _ => false,
    }
}

fn whole(typed: &str) -> String {
    if typed.contains('/') {
        typed.to_owned()
    } else {
        format!("default/{typed}")
    }
}

/// Whether what somebody typed means a label (`namespace/name:port`).
pub(super) fn meant(typed: &str, label: &str) -> bool {
    let typed = whole(typed);
    label == typed
        || label
            .strip_prefix(&typed)
            .is_some_and(|rest| rest.starts_with(':'))
}

/// What is said of a Service that somebody has typed and nobody has.
pub(super) fn unknown(typed: &str) -> anyhow::Error {
    anyhow::anyhow!("the kernel has no Service {typed}; `weiche service list` shows all")
}

fn read(pins: &PinDir) -> anyhow::Result<Vec<Row>> {
    let store = KernelStore::open(&Pins::new(&pins.pin_dir).current().maps())?;
    let labels: BTreeMap<_, _> = store.labels()?.into_iter().collect();
    let backends: BTreeMap<_, _> = store.backends()?.into_iter().collect();
    let mut rows = Vec::new();
    let ports = store.frontends()?.into_iter();
    let ports = ports.filter(|(frontend, _)| !frontend.is_of_address());
    let refusals = store.node()?.refusals;
    for (frontend, service) in ports {
        let label = labels.get(&service.service_id).cloned();
        rows.push(Row {
            service: label.unwrap_or_else(|| format!("#{}", service.service_id)),
            address: frontend.address.to_string(),
            port: frontend.port,
            protocol: protocol(frontend.protocol),
            clients: clients(frontend, &service),
            forwarding: forwarding(&service),
            slots: service.slot_count,
            otherwise: otherwise(&service, &refusals),
            backends: backends_of(&store, &service, &backends)?,
        });
    }
    rows.sort_by(|a, b| {
        let key = |row: &Row| (row.service.clone(), row.address.clone(), row.port);
        key(a).cmp(&key(b))
    });
    Ok(rows)
}

/// Whose entry a frontend is.
fn clients(frontend: Frontend, service: &Service) -> &'static str {
    if !frontend.is_dialled() {
        Clients::Tunnelled.name()
    } else if frontend.scope == scope::OUTSIDE {
        Clients::Outside.name()
    } else if service.flags & Service::SPLIT != 0 {
        Clients::Inside.name()
    } else {
        Clients::All.name()
    }
}

fn forwarding(service: &Service) -> Option<&'static str> {
    match forwarding::said(service.flags) {
        Forwarding::Snat => None,
        other => Some(other.name()),
    }
}

/// What becomes of whoever dials a frontend without backends.
fn otherwise(service: &Service, refusals: &Refusals) -> &'static str {
    match Manner::from_byte(refusals.no_endpoint) {
        _ if service.flags & Service::ELSEWHERE != 0 => "none here: dropped",
        Manner::Answer => "none: refused",
        Manner::Drop | Manner::Pass => "none: dropped",
    }
}

/// The backends in a Service's slots, and how many slots each has.
fn backends_of(
    store: &KernelStore,
    service: &Service,
    backends: &BTreeMap<u32, Backend>,
) -> Result<Vec<BackendRow>, StoreError> {
    let chunks = service.slot_count.div_ceil(lb_common::wire::CHUNK_SLOTS);
    let chunks = store.chunks(service.first_chunk, chunks)?;
    let slots = chunks.iter().flat_map(|chunk| chunk.backends);
    let slots = slots.take(usize::try_from(service.slot_count).unwrap_or(usize::MAX));
    let mut counts = BTreeMap::<u32, u32>::new();
    for slot in slots {
        *counts.entry(slot.id()).or_default() += 1;
    }
    let ids: BTreeSet<_> = counts.keys().copied().filter(|id| *id != 0).collect();
    let row = |id: u32| {
        let backend = backends.get(&id);
        BackendRow {
            id,
            address: backend.map_or_else(String::new, |b| backend_address(b).to_string()),
            state: backend.map_or("free", |b| backend_state(b.state)),
            slots: counts.get(&id).copied().unwrap_or(0),
        }
    };
    Ok(ids.into_iter().map(row).collect())
}

/// A protocol number as people write it.
pub(super) fn protocol(number: u8) -> String {
    match number {
        lb_common::wire::protocol::TCP => "TCP".to_owned(),
        lb_common::wire::protocol::UDP => "UDP".to_owned(),
        lb_common::wire::protocol::SCTP => "SCTP".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_as_people_type_them() {
        for (typed, label, found) in [
            ("web", "default/web:http", true),
            ("default/web", "default/web:http", true),
            ("default/web", "default/web", true),
            ("default/web:http", "default/web:http", true),
            ("default/web:https", "default/web:http", false),
            ("web", "other/web:http", false),
            ("we", "default/web:http", false),
        ] {
            assert_eq!(meant(typed, label), found, "{typed} {label}");
        }
    }
}
