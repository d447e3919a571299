// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must be true of the maps at any moment: a packet that finds a frontend finds written slots
//! and a living backend in each of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use lb_common::wire::{Backend, BackendState, CHUNK_SLOTS, Service};
use lb_userspace::maps::{Frontend, Store, memory::Memory};

/// Checks every frontend that is there.
pub fn check(store: &Memory) -> anyhow::Result<()> {
    let frontends = store.frontends()?;
    check_addresses(&frontends)?;
    check_from(&frontends, store, |state| state == BackendState::Active)
}

/// An address has its own entry only while it has ports: they are written before it, and go after
/// it, so that nobody is refused who dials one of them.
fn check_addresses(frontends: &[(Frontend, Service)]) -> anyhow::Result<()> {
    let addresses = |own: bool| {
        let some = frontends
            .iter()
            .filter(move |(at, _)| at.is_of_address() == own);
        some.map(|(at, _)| at.address).collect::<BTreeSet<_>>()
    };
    let (own, of_ports) = (addresses(true), addresses(false));
    let bare: Vec<_> = own.difference(&of_ports).collect();
    ensure!(bare.is_empty(), "addresses without a port: {bare:?}");
    Ok(())
}

/// Checks frontends as a packet has read them before: what they led to may have been lowered
/// since, but it must still be there.
pub fn check_late(frontends: &[(Frontend, Service)], store: &Memory) -> anyhow::Result<()> {
    check_from(frontends, store, |state| state != BackendState::Free)
}

fn check_from(
    frontends: &[(Frontend, Service)],
    store: &Memory,
    fits: impl Fn(BackendState) -> bool,
) -> anyhow::Result<()> {
    let backends: BTreeMap<_, _> = store.backends()?.into_iter().collect();
    for (frontend, service) in frontends {
        follow(*frontend, service, store, &backends, &fits)
            .with_context(|| format!("{frontend}: {service:?}"))?;
    }
    Ok(())
}

fn follow(
    frontend: Frontend,
    service: &Service,
    store: &Memory,
    backends: &BTreeMap<u32, Backend>,
    fits: impl Fn(BackendState) -> bool,
) -> anyhow::Result<()> {
    let chunks = service.slot_count / CHUNK_SLOTS;
    ensure!(
        service.slot_count.is_multiple_of(CHUNK_SLOTS),
        "slots fill no whole chunks"
    );
    ensure!(
        chunks == 0 || chunks.is_power_of_two(),
        "not a power of two"
    );
    ensure!(
        service.version == service.version_end,
        "the version differs at both ends"
    );
    let mut checked = 0;
    for index in (service.first_chunk..).take(usize::try_from(chunks)?) {
        let chunk = store
            .chunk(index)
            .with_context(|| format!("chunk {index} is not written"))?;
        for slot in &chunk.backends {
            let id = slot.id();
            // Neighbours repeat, and id 0 never is a backend.
            if id == checked && id != 0 {
                continue;
            }
            checked = id;
            let backend = backends.get(&id);
            let backend = backend.with_context(|| format!("a slot leads to the free id {id}"))?;
            let state = BackendState::from_byte(backend.state);
            ensure!(fits(state), "a slot leads to {backend:?}");
            ensure!(backend.id == id, "{backend:?} is not {id}");
            ensure!(
                backend.protocol == frontend.protocol,
                "protocol of {backend:?}"
            );
            let family = if frontend.address.is_ipv4() { 4 } else { 6 };
            ensure!(backend.family == family, "family of {backend:?}");
        }
    }
    Ok(())
}
