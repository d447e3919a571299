// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cluster-IPs for Services that state none: stable, never one that a manifest claims.
//!
//! Pure: the time is an argument, and the ledger is kept on disk by
//! [`ledger_file`](super::ledger_file).

mod pool;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use self::pool::Pool;
use super::families::Family;
use crate::model::Name;

/// A deleted Service's addresses are not given to others for this long, so that one that is
/// deleted and made again keeps them, and that clients with an old answer of the DNS reach nobody
/// rather than somebody else.
pub const KEPT_S: u64 = 600;

/// Who has which addresses. Its JSON form is the content of `cluster-ips.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// By `namespace/name`.
    services: BTreeMap<String, Given>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    addresses: Vec<IpAddr>,
    /// Seconds since 1970 when the Service went away; `None` while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    freed_s: Option<u64>,
}

/// What a Service asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The Service.
    pub name: Name,
    /// The families it is to have an address of, the primary one first.
    pub families: Vec<Family>,
    /// Addresses that it states itself.
    pub own: Vec<IpAddr>,
}

/// What it got: its own addresses and given ones, in the order of its families, and a sentence for
/// each family that it got none of, and for each address of its own that an API server refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// What is missing or doubtful, and why.
    pub problems: Vec<String>,
}

impl Ledger {
    /// Gives every Service its addresses: those it had, where they are still free to have, else
    /// the first free one after a hash of its name.
    pub fn grant(&mut self, wishes: &[Wish], cidrs: &[IpNet], now_s: u64) -> BTreeMap<Name, Grant> {
        let claimed: BTreeSet<IpAddr> = wishes.iter().flat_map(|wish| &wish.own).copied().collect();
        self.free_unwanted(wishes, now_s);
        self.drop_invalid(wishes, cidrs, &claimed);
        let mut taken = claimed;
        taken.extend(self.services.values().flat_map(|given| &given.addresses));
        let mut grants = BTreeMap::new();
        let owners = owners(wishes);
        for wish in wishes {
            let mut grant = self.grant_one(wish, cidrs, &mut taken);
            let own = wish.own.iter();
            let doubts = own.flat_map(|address| doubts(*address, &wish.name, &owners, cidrs));
            grant.problems.extend(doubts);
            grants.insert(wish.name.clone(), grant);
        }
        self.services.retain(|_, given| !given.addresses.is_empty());
        grants
    }

    /// Starts and ends the time for which the addresses of Services that are gone are kept.
    fn free_unwanted(&mut self, wishes: &[Wish], now_s: u64) {
        let wanted: BTreeSet<String> = wishes.iter().map(|wish| wish.name.to_string()).collect();
        self.services.retain(|name, given| {
            if wanted.contains(name) {
                given.freed_s = None;
                return true;
            }
            let freed_s = *given.freed_s.get_or_insert(now_s);
            // A clock that was set back must not keep an address for ever.
            now_s
                .checked_sub(freed_s)
                .is_some_and(|age_s| age_s < KEPT_S)
        });
    }

    /// Takes back what no longer fits: outside the CIDRs, claimed by a manifest, of a family that
    /// is not wanted or stated by the Service itself, or held twice.
    fn drop_invalid(&mut self, wishes: &[Wish], cidrs: &[IpNet], claimed: &BTreeSet<IpAddr>) {
        let mut wanted: BTreeMap<String, Vec<Family>> = BTreeMap::new();
        for wish in wishes {
            wanted.insert(wish.name.to_string(), wish.missing().collect());
        }
        let mut seen = BTreeSet::new();
        for (name, given) in &mut self.services {
            let wanted = wanted.get(name);
            given.addresses.retain(|address| {
                let inside = cidrs.iter().any(|cidr| cidr.contains(address));
                let family = Family::of(*address);
                let fits = wanted.is_none_or(|wanted| wanted.contains(&family));
                inside && fits && !claimed.contains(address) && seen.insert(*address)
            });
        }
    }

    fn grant_one(&mut self, wish: &Wish, cidrs: &[IpNet], taken: &mut BTreeSet<IpAddr>) -> Grant {
        let mut grant = Grant::default();
        let key = wish.name.to_string();
        for &family in &wish.families {
            let mut own = wish.own.iter().copied();
            if let Some(address) = own.find(|address| Family::of(*address) == family) {
                grant.addresses.push(address);
                continue;
            }
            let given = self.services.entry(key.clone()).or_default();
            let mut had = given.addresses.iter().copied();
            if let Some(address) = had.find(|address| Family::of(*address) == family) {
                grant.addresses.push(address);
                continue;
            }
            match self.take(&key, family, cidrs, taken) {
                Ok(address) => grant.addresses.push(address),
                Err(problem) => grant.problems.push(problem),
            }
        }
        grant
    }

    /// A new address; when none is free, the one that has been kept for a deleted Service longest.
    fn take(
        &mut self,
        key: &str,
        family: Family,
        cidrs: &[IpNet],
        taken: &mut BTreeSet<IpAddr>,
    ) -> Result<IpAddr, String> {
        let of_family = || cidrs.iter().filter(|cidr| Family::of_net(cidr) == family);
        let name = match family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        if of_family().next().is_none() {
            return Err(format!(
                "there is no {name} Service CIDR to take a Cluster-IP from: add one to \
                 --service-cidr, or state clusterIP"
            ));
        }
        let free = of_family().find_map(|cidr| Pool::new(cidr).first_free(key, taken));
        let Some(address) = free.or_else(|| self.oldest_kept(family)) else {
            let nets: Vec<String> = of_family().map(IpNet::to_string).collect();
            return Err(format!(
                "no {name} Cluster-IP is left in {}: the Service has none until another one goes",
                nets.join(" and ")
            ));
        };
        taken.insert(address);
        let given = self.services.entry(key.to_owned()).or_default();
        given.addresses.push(address);
        Ok(address)
    }

    fn oldest_kept(&mut self, family: Family) -> Option<IpAddr> {
        let kept = self.services.values_mut();
        let kept = kept.filter(|given| given.freed_s.is_some());
        let of_family = |given: &&mut Given| {
            let mut addresses = given.addresses.iter();
            addresses.any(|address| Family::of(*address) == family)
        };
        let oldest = kept.filter(of_family).min_by_key(|given| given.freed_s)?;
        let is_it = |address: &IpAddr| Family::of(*address) == family;
        let index = oldest.addresses.iter().position(is_it)?;
        Some(oldest.addresses.remove(index))
    }
}

/// Who states which address.
fn owners(wishes: &[Wish]) -> BTreeMap<IpAddr, Vec<&Name>> {
    let mut owners: BTreeMap<IpAddr, Vec<&Name>> = BTreeMap::new();
    for wish in wishes {
        for address in &wish.own {
            owners.entry(*address).or_default().push(&wish.name);
        }
    }
    owners
}

/// What an API server would have against an address that a Service states. It is served anyway:
/// manifests may be about to change.
fn doubts(
    address: IpAddr,
    service: &Name,
    owners: &BTreeMap<IpAddr, Vec<&Name>>,
    cidrs: &[IpNet],
) -> Vec<String> {
    let others = owners.get(&address).into_iter().flatten();
    let other = others.into_iter().find(|name| **name != service);
    let mut doubts = Vec::new();
    doubts.extend(other.map(|other| {
        format!(
            "clusterIP {address} is that of Service {other} as well: which one serves depends on \
             their ports and age; state another one, or none"
        )
    }));
    let of_family = |cidr: &&IpNet| Family::of_net(cidr) == Family::of(address);
    let ranges: Vec<&IpNet> = cidrs.iter().filter(of_family).collect();
    if !ranges.is_empty() && !ranges.iter().any(|cidr| cidr.contains(&address)) {
        let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        doubts.push(format!(
            "clusterIP {address} is not in the Service CIDR {}: it is served, and nothing keeps \
             others from having it; state one from there, or none",
            ranges.join(", ")
        ));
    }
    doubts
}

impl Wish {
    /// Families that it does not state an address of.
    fn missing(&self) -> impl Iterator<Item = Family> {
        let families = self.families.iter().copied();
        families.filter(|family| {
            let mut own = self.own.iter();
            own.all(|address| Family::of(*address) != *family)
        })
    }
}

#[cfg(test)]
mod tests;
