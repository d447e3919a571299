// SPDX-License-Identifier: MIT OR Apache-2.0
//! What of the zone the kernel answers from: Services with addresses of their own, their
//! namespaces, and that there is something of which only the server knows all.

use super::{
    Zone,
    entry::{Entry, Label, label},
};
use crate::model::Name;
use lb_common::wire::{Labels, NameEntry, NameKind, Resolver};
use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

impl Zone {
    /// All entries there are to be; versions are the writer's.
    pub fn table(&self) -> impl Iterator<Item = (Labels, NameEntry)> {
        let services = self.namespaces.iter().flat_map(|(namespace, services)| {
            services.iter().filter_map(move |(service, stands_for)| {
                Some(of(key([service, namespace])?, stands_for))
            })
        });
        let stated = self.stated.iter().filter_map(|name| label(name));
        let all: BTreeSet<Label> = self.namespaces.keys().cloned().chain(stated).collect();
        let namespaces = all.into_iter().filter(|name| self.has_namespace(name));
        let namespaces = namespaces.filter_map(|name| key([&name]));
        services.chain(namespaces.map(|key| entry(key, NameKind::Namespace, [])))
    }

    /// The keys of a Service and of its namespace, and their entries, if there are to be any.
    pub fn rows(&self, name: &Name) -> impl Iterator<Item = (Labels, Option<NameEntry>)> {
        let labels = label(&name.namespace).zip(label(&name.name));
        labels.into_iter().flat_map(|(namespace, service)| {
            let services = self.namespaces.get(&namespace);
            let row = key([&service, &namespace]).map(|key| {
                let found = services.and_then(|services| services.get(&service));
                (key, found.map(|it| of(key, it).1))
            });
            let parent = key([&namespace]).map(|key| {
                let is_there = self.has_namespace(&namespace);
                (key, is_there.then(|| entry(key, NameKind::Namespace, []).1))
            });
            row.into_iter().chain(parent)
        })
    }

    /// Namespaces that are there by themselves; another one whenever they change.
    pub fn stated(&self) -> &Arc<BTreeSet<Arc<str>>> {
        &self.stated
    }

    /// What all of the kernel's answers have in common; none: the domain is too long for that.
    pub fn resolver(&self) -> Option<Resolver> {
        let length = self
            .origin
            .iter()
            .map(|label| label.len() + 1)
            .sum::<usize>()
            + 1;
        Some(Resolver {
            identity: Resolver::IDENTITY,
            ttl_s: self.ttl_s,
            negative_ttl_s: self.negative_ttl_s(),
            serial: self.serial,
            label_count: u8::try_from(self.origin.iter().count()).ok()?,
            origin_length: u32::try_from(length)
                .ok()
                .filter(|_| length <= Labels::ROOM)?,
            origin: Labels::of(self.origin.iter())?,
            ..Resolver::default()
        })
    }
}

fn key<const N: usize>(labels: [&Label; N]) -> Option<Labels> {
    Labels::of(labels.into_iter().map(|label| &**label))
}

fn of(key: Labels, stands_for: &Entry) -> (Labels, NameEntry) {
    match stands_for {
        Entry::Addresses(addresses, _) => entry(key, NameKind::Service, addresses.iter().copied()),
        Entry::Hosts(_) | Entry::Alias(_) => entry(key, NameKind::Elsewhere, []),
    }
}

fn entry(
    key: Labels,
    kind: NameKind,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> (Labels, NameEntry) {
    let mut entry = NameEntry {
        identity: key.identity(),
        kind: kind.number(),
        ..NameEntry::default()
    };
    for address in addresses {
        let (room, octets) = match address {
            IpAddr::V4(address) => (&mut entry.narrow[..], &address.octets()[..]),
            IpAddr::V6(address) => (&mut entry.wide[..], &address.octets()[..]),
        };
        let is_another = room.iter().any(|byte| *byte != 0) && room != octets;
        let is_none = octets.iter().all(|byte| *byte == 0);
        // No Service has two of a family; the server would know what to do with them.
        if is_another || is_none {
            entry.kind = NameKind::Elsewhere.number();
        }
        room.copy_from_slice(octets);
    }
    (key, entry)
}
