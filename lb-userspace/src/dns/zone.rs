// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names of the cluster's Services: what there is, by name and by address.
//!
//! It follows the Kubernetes DNS specification 1.1.0. Pure: it knows no message and no socket, and
//! a change of a Service costs that Service's names only.

mod entry;
mod find;
mod list;
mod table;

pub use find::{Found, Share};
pub use list::{Listed, ListedPort, Target};

use self::entry::{Entry, Label};
use crate::model::{Name, World};
use hickory_proto::rr::{Name as DomainName, RData, Record, rdata::SOA};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// How long it may be remembered that something is not there: what is missing is often about to
/// come, as a Pod of a headless Service that starts.
const NEGATIVE_S: u32 = 5;

/// All names below one domain.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: DomainName,
    ttl_s: u32,
    serial: u32,
    /// Whether everything was listed once. Before, absence means nothing.
    complete: bool,
    /// Whether its names are those of an agent before: the first world replaces them all.
    restored: bool,
    /// By namespace and Service; no namespace without a Service is here.
    namespaces: BTreeMap<Label, BTreeMap<Label, Entry>>,
    /// Namespaces that are there by themselves, whatever is in them.
    stated: Arc<BTreeSet<Arc<str>>>,
    pointers: BTreeMap<IpAddr, BTreeSet<Owner>>,
}

/// Whose name an address has: a Service's, or that of a host below a headless one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    namespace: Label,
    service: Label,
    host: Option<Label>,
}

impl Zone {
    /// A zone without names; `origin` is the cluster's domain.
    pub fn new(origin: &DomainName, ttl_s: u32) -> Self {
        Self {
            origin: origin.to_lowercase(),
            ttl_s,
            serial: 0,
            complete: false,
            restored: false,
            namespaces: BTreeMap::new(),
            stated: Arc::default(),
            pointers: BTreeMap::new(),
        }
    }

    /// Takes in these Services as a complete world has them, at `now_s` in seconds since 1970.
    pub fn update<'a>(
        &mut self,
        world: &World,
        touched: impl IntoIterator<Item = &'a Name>,
        now_s: u64,
    ) {
        self.complete = true;
        let mut changed = std::mem::take(&mut self.restored);
        if changed {
            self.namespaces.clear();
            self.pointers.clear();
        }
        if !Arc::ptr_eq(&self.stated, world.namespaces()) {
            changed |= self.stated != *world.namespaces();
            self.stated = world.namespaces().clone();
        }
        for name in touched {
            let service = world.service(name);
            let entry = service.and_then(|it| Entry::of(it, world.slices(name)));
            changed |= self.put(name, entry.as_ref());
        }
        if changed {
            self.renew(now_s);
        }
    }

    /// The zone is another one now.
    fn renew(&mut self, now_s: u64) {
        // Of 32 bits, and compared in a circle (RFC 1982).
        let now = u32::try_from(now_s & u64::from(u32::MAX)).unwrap_or(0);
        self.serial = now.max(self.serial.wrapping_add(1));
    }

    /// Says of which state it is, until it changes.
    pub fn set_serial(&mut self, serial: u32) {
        self.serial = serial;
    }

    /// Of which state it is: grows with each change.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// The domain.
    pub fn origin(&self) -> &DomainName {
        &self.origin
    }

    /// How long answers may be remembered, in seconds.
    pub fn ttl_s(&self) -> u32 {
        self.ttl_s
    }

    /// Whether it knows all names.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether this is a Service's address.
    pub fn has_service_at(&self, address: IpAddr) -> bool {
        let owners = self.pointers.get(&address).into_iter().flatten();
        owners.into_iter().any(|owner| owner.host.is_none())
    }

    /// The record that negative answers about a name carry. Each reverse name that we answer for
    /// is a zone of its own: the rest of its tree is somebody else's.
    ///
    /// The domain is written in the letters of the name, upper case and lower: so the answer points
    /// to them, and has the same length however the question was written.
    pub fn authority(&self, name: &DomainName) -> Record {
        let is_below = self.labels_below(name).is_some();
        let origin = if is_below {
            name.trim_to(self.origin.iter().count())
        } else {
            self.origin.clone()
        };
        let owner = if is_below { &origin } else { name };
        let at = |labels: &[&[u8]]| {
            let labels = labels.iter().copied().chain(origin.iter());
            DomainName::from_labels(labels).unwrap_or_else(|_too_long| origin.clone())
        };
        let soa = SOA::new(
            at(&[b"ns", b"dns"]),
            at(&[b"hostmaster"]),
            self.serial,
            7_200,
            1_800,
            86_400,
            self.negative_ttl_s(),
        );
        // RFC 2308, section 3: the lesser of its TTL and its last field counts.
        Record::from_rdata(owner.clone(), self.negative_ttl_s(), RData::SOA(soa))
    }

    fn negative_ttl_s(&self) -> u32 {
        self.ttl_s.min(NEGATIVE_S)
    }

    fn put(&mut self, name: &Name, entry: Option<&Entry>) -> bool {
        let labels = (entry::label(&name.namespace), entry::label(&name.name));
        let (Some(namespace), Some(service)) = labels else {
            return false;
        };
        let services = self.namespaces.entry(namespace.clone()).or_default();
        if services.get(&service) == entry {
            self.forget_if_empty(&namespace);
            return false;
        }
        let owner = |host: Option<&Label>| Owner {
            namespace: namespace.clone(),
            service: service.clone(),
            host: host.cloned(),
        };
        let before = match entry {
            Some(entry) => services.insert(service.clone(), entry.clone()),
            None => services.remove(&service),
        };
        for (address, host) in before.iter().flat_map(Entry::pointers) {
            if let Some(owners) = self.pointers.get_mut(&address) {
                owners.remove(&owner(host));
                if owners.is_empty() {
                    self.pointers.remove(&address);
                }
            }
        }
        for (address, host) in entry.into_iter().flat_map(Entry::pointers) {
            let owners = self.pointers.entry(address).or_default();
            owners.insert(owner(host));
        }
        self.forget_if_empty(&namespace);
        true
    }

    /// Whether there is a namespace of this name, in lower case.
    fn has_namespace(&self, name: &[u8]) -> bool {
        let stated = str::from_utf8(name).is_ok_and(|name| self.stated.contains(name));
        stated || self.namespaces.contains_key(name)
    }

    fn forget_if_empty(&mut self, namespace: &Label) {
        if self
            .namespaces
            .get(namespace)
            .is_some_and(BTreeMap::is_empty)
        {
            self.namespaces.remove(namespace);
        }
    }

    /// The name of these labels in the zone; none if it would be too long for one.
    fn absolute<'a>(&'a self, labels: impl IntoIterator<Item = &'a [u8]>) -> Option<DomainName> {
        let labels = labels.into_iter().chain(self.origin.iter());
        DomainName::from_labels(labels).ok()
    }

    fn name_of(&self, owner: &Owner) -> Option<DomainName> {
        let host = owner.host.as_deref();
        let rest = [&*owner.service, &*owner.namespace, b"svc"];
        self.absolute(host.into_iter().chain(rest))
    }
}

#[cfg(test)]
mod tests;
