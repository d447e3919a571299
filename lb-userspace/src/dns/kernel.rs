// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keeps what the kernel answers from equal to the zone that the server answers from.
//!
//! What cannot be written is not answered: the kernel then leaves everything to the server until
//! the whole table has been written again.

use super::zone::Zone;
use crate::{
    maps::{StoreError, kernel::KernelNames},
    model::{Name, Protocol, World},
};
use lb_common::wire::{Labels, NameEntry, Resolver, ResolverMode};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

/// How long the kernel may say that something is not there, once the agent is silent.
const LEASE_NS: u64 = 30_000_000_000;

/// The kernel's table, as the agent has written it.
pub struct Table {
    maps: KernelNames,
    /// The Service that clients ask.
    service: Name,
    /// [`Resolver::passed`].
    except: [u64; 4],
    /// What the kernel does with questions, once it can.
    mode: ResolverMode,
    /// What is in the map; none: not known.
    written: Option<BTreeMap<Labels, NameEntry>>,
    /// The namespaces that it knows without their Services.
    stated: Arc<BTreeSet<Arc<str>>>,
    /// Where the kernel is to be asked; none: there was no complete world yet.
    wanted: Option<Resolver>,
    /// Where it is.
    resolver: Resolver,
    /// Of the last write.
    version: u64,
}

impl Table {
    /// Over maps as an earlier run has left them, which goes on until there is a complete world.
    pub fn new(
        maps: KernelNames,
        service: Name,
        except: [u64; 4],
        mode: ResolverMode,
    ) -> Result<Self, StoreError> {
        let resolver = maps.resolver()?;
        Ok(Self {
            maps,
            service,
            except,
            mode,
            written: None,
            stated: Arc::default(),
            wanted: None,
            resolver,
            version: resolver.version,
        })
    }

    /// Lets the kernel answer nothing.
    pub fn switch_off(maps: &mut KernelNames) -> Result<(), StoreError> {
        let resolver = maps.resolver()?;
        maps.put_resolver(&Resolver {
            mode: ResolverMode::Off.byte(),
            ..resolver
        })
    }

    /// Of which state the names are that the kernel answers from.
    pub fn serial(&self) -> u32 {
        self.resolver.serial
    }

    /// Takes in what has become of these Services, as a complete world has them.
    pub fn follow<'a>(
        &mut self,
        zone: &Zone,
        world: &World,
        touched: impl IntoIterator<Item = &'a Name>,
        now_ns: u64,
    ) {
        self.wanted = Some(self.place(zone, world));
        if self.written.is_none() {
            return self.renew(zone, now_ns);
        }
        if !Arc::ptr_eq(&self.stated, zone.stated()) {
            let done = self
                .write_all(zone)
                .and_then(|()| self.put_resolver(now_ns));
            return self.settle(done);
        }
        let rows: Vec<_> = touched
            .into_iter()
            .flat_map(|name| zone.rows(name))
            .collect();
        let done = self.write(rows).and_then(|()| self.put_resolver(now_ns));
        self.settle(done);
    }

    /// Lets the kernel say for another while what is not there. What could not be written is
    /// written anew.
    pub fn renew(&mut self, zone: &Zone, now_ns: u64) {
        if self.wanted.is_none() {
            return;
        }
        let all = match self.written {
            Some(_) => Ok(()),
            None => self.write_all(zone),
        };
        let done = all.and_then(|()| self.put_resolver(now_ns));
        self.settle(done);
    }

    /// Where the kernel is to be asked: at the addresses of the Service that clients ask.
    fn place(&self, zone: &Zone, world: &World) -> Resolver {
        let mut resolver = zone.resolver().unwrap_or_default();
        resolver.passed = self.except;
        let service = world.service(&self.service);
        let port = service.and_then(|service| {
            let mut ports = service.ports.iter();
            ports.find(|port| port.protocol == Protocol::Udp)
        });
        for address in service.into_iter().flat_map(|it| &it.cluster_ips) {
            match address {
                IpAddr::V4(address) => resolver.narrow = address.octets(),
                IpAddr::V6(address) => resolver.wide = address.octets(),
            }
        }
        // No packet goes to the unspecified address, which a Service without one leaves here.
        if let Some(port) = port.filter(|_| resolver.identity == Resolver::IDENTITY) {
            resolver.port = port.port.to_be_bytes();
            resolver.mode = self.mode.byte();
        }
        resolver
    }

    /// Writes what is to be there, and takes away what is not.
    fn write_all(&mut self, zone: &Zone) -> Result<(), StoreError> {
        let there = match self.written.take() {
            Some(written) => written,
            None => self.maps.list()?.into_iter().collect(),
        };
        self.stated = zone.stated().clone();
        let wanted: BTreeMap<_, _> = zone.table().collect();
        let gone = there.keys().filter(|key| !wanted.contains_key(key));
        let rows = gone.map(|key| (*key, None));
        let rows: Vec<_> = wanted
            .iter()
            .map(|(key, entry)| (*key, Some(*entry)))
            .chain(rows)
            .collect();
        // No two writes have the same one: a reader tells by it what does not belong together.
        let last = there.values().map(|entry| entry.version).max();
        self.version = self.version.max(last.unwrap_or(0));
        self.written = Some(there);
        self.write(rows)
    }

    fn write(
        &mut self,
        rows: impl IntoIterator<Item = (Labels, Option<NameEntry>)>,
    ) -> Result<(), StoreError> {
        let written = self.written.get_or_insert_default();
        for (key, wanted) in rows {
            match (wanted, written.get(&key)) {
                (Some(entry), Some(there)) if means_the_same(&entry, there) => {}
                (Some(entry), _) => {
                    self.version = self.version.wrapping_add(1);
                    let entry = NameEntry {
                        version: self.version,
                        version_end: self.version,
                        ..entry
                    };
                    self.maps.put(&key, &entry)?;
                    written.insert(key, entry);
                }
                (None, Some(_)) => {
                    self.maps.remove(&key)?;
                    written.remove(&key);
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Names first, then what says that they are in force.
    fn put_resolver(&mut self, now_ns: u64) -> Result<(), StoreError> {
        let Some(wanted) = self.wanted else {
            return Ok(());
        };
        self.version = self.version.wrapping_add(1);
        let version = self.version;
        let resolver = Resolver {
            version,
            version_end: version,
            negative_until_ns: now_ns.saturating_add(LEASE_NS),
            ..wanted
        };
        self.maps.put_resolver(&resolver)?;
        self.resolver = resolver;
        Ok(())
    }

    /// After a write that failed, the kernel is not in step.
    fn settle(&mut self, done: Result<(), StoreError>) {
        let Err(error) = done else {
            return;
        };
        tracing::warn!("the kernel leaves names to the server until they can be written: {error}");
        self.written = None;
        if let Err(error) = Self::switch_off(&mut self.maps) {
            tracing::warn!("and it could not be told: {error}");
        }
    }
}

/// Whether the kernel would answer the same by both; what is not whole is written anew.
fn means_the_same(entry: &NameEntry, there: &NameEntry) -> bool {
    let meaning = |it: &NameEntry| (it.identity, it.kind, it.narrow, it.wide);
    meaning(entry) == meaning(there) && there.version == there.version_end
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}
