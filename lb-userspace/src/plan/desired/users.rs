// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which Services have an endpoint of an address.
//!
//! By a print of the address: a wrong hit costs planning a Service in vain, whole addresses and
//! names would cost more memory than all plans.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
};

use crate::model::{EndpointSlice, Name};

/// Services by their endpoints' addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Users {
    numbers: BTreeMap<Name, Known>,
    names: BTreeMap<u32, Name>,
    next: u32,
    /// Print of an address, number of a Service.
    uses: BTreeSet<(u32, u32)>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    number: u32,
    /// In order, each once.
    prints: Box<[u32]>,
}

impl Users {
    /// These are a Service's slices now.
    pub(super) fn note<'a>(
        &mut self,
        name: &Name,
        slices: impl Iterator<Item = &'a EndpointSlice>,
    ) {
        let endpoints = slices.flat_map(|slice| &slice.endpoints);
        let mut prints: Vec<u32> = endpoints.map(|endpoint| print(endpoint.address)).collect();
        prints.sort_unstable();
        prints.dedup();
        let known = self.numbers.get(name);
        let before = known.map_or(&[][..], |known| &known.prints);
        if before == &*prints {
            return;
        }
        let number = known.map_or(self.next, |known| known.number);
        for print in before {
            if prints.binary_search(print).is_err() {
                self.uses.remove(&(*print, number));
            }
        }
        let new = prints
            .iter()
            .filter(|print| before.binary_search(print).is_err());
        self.uses.extend(new.map(|print| (*print, number)));
        if prints.is_empty() {
            self.numbers.remove(name);
            self.names.remove(&number);
            return;
        }
        if known.is_none() {
            self.names.insert(number, name.clone());
            self.next = self.free_number();
        }
        let prints = prints.into_boxed_slice();
        self.numbers.insert(name.clone(), Known { number, prints });
    }

    /// The Services that may have an endpoint of one of these addresses.
    pub(super) fn of(&self, addresses: &BTreeSet<IpAddr>) -> BTreeSet<Name> {
        let prints = addresses.iter().map(|address| print(*address));
        let uses = prints.flat_map(|print| self.uses.range((print, 0)..=(print, u32::MAX)));
        let names = uses.filter_map(|(_, number)| self.names.get(number));
        names.cloned().collect()
    }

    /// A number that no Service has; there are fewer Services than numbers.
    fn free_number(&self) -> u32 {
        let mut number = self.next.wrapping_add(1);
        while self.names.contains_key(&number) {
            number = number.wrapping_add(1);
        }
        number
    }
}

/// The same in every process: `DefaultHasher::new` has fixed keys.
fn print(address: IpAddr) -> u32 {
    let mut hasher = DefaultHasher::new();
    address.hash(&mut hasher);
    let [print, _]: [u32; 2] = zerocopy::transmute!(hasher.finish());
    print
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Endpoint;
    use std::sync::Arc;

    fn slice(lasts: &[u8]) -> EndpointSlice {
        let endpoint = |last: &u8| Endpoint {
            address: IpAddr::from([10, 0, 0, *last]),
            ready: true,
            serving: true,
            terminating: false,
            hostname: None,
            place: Arc::default(),
        };
        EndpointSlice {
            name: Name::new("default", "slice"),
            service: "web".into(),
            endpoints: lasts.iter().map(endpoint).collect(),
            ports: Vec::new(),
            proxy_name: None,
            headless: false,
            triggered_ns: None,
        }
    }

    #[test]
    fn services_are_found_by_their_endpoints() {
        let names = ["a", "b", "c"].map(|name| Name::new("default", name));
        let [a, b, c] = &names;
        let mut users = Users::default();
        for (name, endpoints, asked, found) in [
            (a, &[1, 2, 1][..], 1, &[a][..]),
            (b, &[2, 3], 2, &[a, b]),
            (a, &[4], 2, &[b]),
            (b, &[], 3, &[]),
            (c, &[4, 5], 4, &[a, c]),
            (b, &[4], 4, &[a, b, c]),
        ] {
            users.note(name, [slice(endpoints)].iter());
            let addresses = BTreeSet::from([IpAddr::from([10, 0, 0, asked])]);
            let found: BTreeSet<Name> = found.iter().copied().cloned().collect();
            assert_eq!(users.of(&addresses), found, "{name} {endpoints:?}");
        }
        for name in &names {
            users.note(name, std::iter::empty());
        }
        assert!(users.uses.is_empty() && users.names.is_empty() && users.numbers.is_empty());
    }
}
