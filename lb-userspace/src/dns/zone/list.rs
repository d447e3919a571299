// SPDX-License-Identifier: MIT OR Apache-2.0
//! All names as rows: for people, and for the next agent.

use super::{
    Zone,
    entry::{Entry, Host, Label, Port, label},
};
use crate::model::{Name, Protocol};
use hickory_proto::rr::Name as DomainName;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A Service's name and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub service: String,
    /// What it stands for.
    pub leads_to: Target,
}

/// What a Service's name stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Its own addresses, and its named ports.
    Addresses(Vec<IpAddr>, Vec<ListedPort>),
    /// Its endpoints: a host, its address, and what it serves there.
    Hosts(Vec<(String, IpAddr, Vec<ListedPort>)>),
    /// Another name.
    Alias(String),
}

/// A named port: the name, the protocol, the number.
pub type ListedPort = (String, String, u16);

impl Zone {
    /// All Services' names, in order.
    pub fn list(&self) -> Vec<Listed> {
        let services = self.namespaces.iter();
        let services = services.flat_map(|(namespace, services)| {
            services.iter().map(move |(service, entry)| Listed {
                namespace: text(namespace),
                service: text(service),
                leads_to: target(entry),
            })
        });
        services.collect()
    }

    /// Takes over the names that another zone had listed, until the first complete world.
    pub fn restore(&mut self, listed: &[Listed], now_s: u64) {
        for row in listed {
            let name = Name::new(&row.namespace, &row.service);
            if let Some(entry) = entry(&row.leads_to) {
                self.put(&name, Some(&entry));
            }
        }
        self.complete = true;
        self.restored = true;
        self.renew(now_s);
    }
}

fn target(entry: &Entry) -> Target {
    match entry {
        Entry::Addresses(addresses, of) => Target::Addresses(addresses.clone(), ports(of)),
        Entry::Hosts(hosts) => {
            let hosts = hosts.iter().flat_map(|(name, hosts)| {
                let hosts = hosts.iter();
                hosts.map(|host| (text(name), host.address, ports(&host.ports)))
            });
            Target::Hosts(hosts.collect())
        }
        Entry::Alias(name) => Target::Alias(name.to_ascii()),
    }
}

/// What does not make sense is left out: the file may be anybody's.
fn entry(target: &Target) -> Option<Entry> {
    let ports = |listed: &[ListedPort]| {
        let ports = listed.iter().filter_map(|(name, protocol, number)| {
            let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
            let mut protocols = protocols.into_iter();
            let protocol = protocols.find(|known| known.name() == protocol)?;
            Port::of(name, protocol, *number)
        });
        ports.collect()
    };
    match target {
        Target::Addresses(addresses, listed) => {
            Some(Entry::Addresses(addresses.clone(), ports(listed)))
        }
        Target::Hosts(listed) => {
            let mut hosts = std::collections::BTreeMap::<Label, Vec<Host>>::new();
            for (name, address, listed) in listed {
                hosts.entry(label(name)?).or_default().push(Host {
                    address: *address,
                    ports: ports(listed),
                });
            }
            (!hosts.is_empty()).then_some(Entry::Hosts(hosts))
        }
        Target::Alias(name) => DomainName::from_ascii(name).ok().map(Entry::Alias),
    }
}

fn ports(ports: &[Port]) -> Vec<ListedPort> {
    let listed = ports.iter().map(|port| {
        let protocol = port.protocol.name().to_owned();
        (text(&port.name), protocol, port.number)
    });
    listed.collect()
}

fn text(label: &Label) -> String {
    String::from_utf8_lossy(label).into_owned()
}
