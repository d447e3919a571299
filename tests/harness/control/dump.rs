// SPDX-License-Identifier: MIT OR Apache-2.0
//! Map contents as people read them.

use std::{collections::BTreeMap, fmt::Write as _};

use lb_common::wire::{Backend, BackendState, CHUNK_SLOTS, Service, protocol};
use lb_userspace::{
    maps::{Frontend, Store, backend_address, memory::Memory},
    model::Forwarding,
    plan::forwarding,
};

/// What clients dial, each with its backends and their shares of its slots.
pub fn services(store: &impl Store) -> anyhow::Result<String> {
    frontends(store, Frontend::is_dialled)
}

/// The same of what comes out of tunnels.
pub fn tunnels(store: &impl Store) -> anyhow::Result<String> {
    frontends(store, |frontend| !frontend.is_dialled())
}

/// All of it, and where nodes are.
pub fn all(store: &Memory) -> anyhow::Result<String> {
    let nodes = store.nodes();
    Ok(frontends(store, |_| true)? + &format!("nodes {nodes:?}\n"))
}

fn frontends(store: &impl Store, is_wanted: impl Fn(&Frontend) -> bool) -> anyhow::Result<String> {
    let labels: BTreeMap<_, _> = store.labels()?.into_iter().collect();
    let backends: BTreeMap<_, _> = store.backends()?.into_iter().collect();
    let mut text = String::new();
    let ports = store.frontends()?.into_iter();
    let ports = ports.filter(|(frontend, _)| !frontend.is_of_address());
    for (frontend, service) in ports.filter(|(frontend, _)| is_wanted(frontend)) {
        let unnamed = "(no label)".to_owned();
        let label = labels.get(&service.service_id).unwrap_or(&unnamed);
        write!(text, "{frontend} {label}")?;
        if service.affinity_s > 0 {
            write!(text, ", affinity {} s", service.affinity_s)?;
        }
        match forwarding::said(service.flags) {
            Forwarding::Snat => {}
            other => write!(text, ", {other}")?,
        }
        writeln!(text)?;
        if service.slot_count == 0 {
            let end = match service.flags & Service::ELSEWHERE {
                0 => "refused: no endpoint",
                _ => "dropped: no endpoint here",
            };
            writeln!(text, "  {end}")?;
        }
        for (id, slots) in shares(store, &service)? {
            let percent = 100.0 * f64::from(slots) / f64::from(service.slot_count);
            let address = backends.get(&id).map(backend_address);
            let address = address.map_or_else(|| format!("id {id}?"), |known| known.to_string());
            writeln!(text, "  {address} {percent:.1} %")?;
        }
    }
    Ok(sorted(&text))
}

/// Addresses that have entries of their own.
pub fn addresses(store: &impl Store) -> anyhow::Result<String> {
    let mut text = String::new();
    for (frontend, _) in store.frontends()? {
        if frontend.is_of_address() {
            writeln!(text, "{}", frontend.address)?;
        }
    }
    Ok(text)
}

/// Backends and their states.
pub fn backends(store: &impl Store) -> anyhow::Result<String> {
    let lines = store
        .backends()?
        .into_iter()
        .map(|(_, backend)| line(&backend));
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    Ok(lines.concat())
}

fn line(backend: &Backend) -> String {
    let state = match BackendState::from_byte(backend.state) {
        BackendState::Free => "free",
        BackendState::Active => "active",
        BackendState::Draining => "draining",
        BackendState::Quiet => "quiet",
    };
    let protocol = match backend.protocol {
        protocol::TCP => "TCP",
        protocol::UDP => "UDP",
        protocol::SCTP => "SCTP",
        _ => "?",
    };
    format!("{}/{protocol} {state}\n", backend_address(backend))
}

/// Slots by backend id.
fn shares(store: &impl Store, service: &Service) -> anyhow::Result<BTreeMap<u32, u32>> {
    let chunks = store.chunks(service.first_chunk, service.slot_count / CHUNK_SLOTS)?;
    let mut shares = BTreeMap::new();
    for slot in chunks.iter().flat_map(|chunk| chunk.backends) {
        let slots: &mut u32 = shares.entry(slot.id()).or_default();
        *slots = slots.saturating_add(1);
    }
    Ok(shares)
}

/// Backends of each frontend in the order of their text: ids are no matter of what is wanted.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for group in lines.chunk_by_mut(|_, next| next.starts_with(' ')) {
        if let Some((_, backends)) = group.split_first_mut() {
            backends.sort_unstable();
        }
    }
    lines.iter().flat_map(|line| [line, "\n"]).collect()
}
