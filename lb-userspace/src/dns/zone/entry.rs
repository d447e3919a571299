// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one Service's name stands for.

use crate::model::{EndpointSlice, Protocol, ServiceKind, ServiceObject};
use hickory_proto::rr::Name as DomainName;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// One label of a name, in lower case: names are compared without regard to case.
pub(super) type Label = Box<[u8]>;

/// The longest label (RFC 1035, section 2.3.4).
const LABEL: usize = 63;

/// What one Service's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Addresses of its own, whatever is behind them.
    Addresses(Vec<IpAddr>, Arc<[Port]>),
    /// Those of its ready endpoints, by host name; one name may have several.
    Hosts(BTreeMap<Label, Vec<Host>>),
    /// Another name.
    Alias(DomainName),
}

/// A ready endpoint of a headless Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Host {
    pub(super) address: IpAddr,
    /// All endpoints of a slice have the same.
    pub(super) ports: Arc<[Port]>,
}

/// A port with a name: one without has no SRV record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) name: Label,
    pub(super) protocol: Protocol,
    pub(super) number: u16,
}

impl Entry {
    /// None: there is no such name, as of a headless Service of which no endpoint is ready.
    pub(super) fn of<'a>(
        service: &ServiceObject,
        slices: impl Iterator<Item = &'a EndpointSlice>,
    ) -> Option<Self> {
        if service.kind == ServiceKind::ExternalName {
            let mut target = DomainName::from_ascii(service.external_name.as_deref()?).ok()?;
            target.set_fqdn(true);
            return Some(Self::Alias(target));
        }
        if !service.cluster_ips.is_empty() {
            let ports = service.ports.iter();
            let ports = ports.filter_map(|it| Port::of(&it.name, it.protocol, it.port));
            return Some(Self::Addresses(
                service.cluster_ips.clone(),
                ports.collect(),
            ));
        }
        if !service.headless {
            return None;
        }
        let mut hosts: BTreeMap<Label, Vec<Host>> = BTreeMap::new();
        for slice in slices {
            let ports = slice.ports.iter();
            let ports = ports.filter_map(|it| Port::of(&it.name, it.protocol, it.port));
            let ports: Arc<[Port]> = ports.collect();
            for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.ready) {
                let address = endpoint.address;
                let given = endpoint.hostname.as_deref().and_then(label);
                let host = hosts.entry(given.unwrap_or_else(|| dashed(address)));
                host.or_default().push(Host {
                    address,
                    ports: ports.clone(),
                });
            }
        }
        for host in hosts.values_mut() {
            host.sort();
            host.dedup();
        }
        (!hosts.is_empty()).then_some(Self::Hosts(hosts))
    }

    /// The addresses whose reverse names lead here, and to which host.
    pub(super) fn pointers(&self) -> impl Iterator<Item = (IpAddr, Option<&Label>)> {
        let (own, hosts) = match self {
            Self::Addresses(addresses, _) => (Some(addresses), None),
            Self::Hosts(hosts) => (None, Some(hosts)),
            Self::Alias(_) => (None, None),
        };
        let own = own.into_iter().flatten().map(|address| (*address, None));
        let hosts = hosts.into_iter().flatten();
        let hosts =
            hosts.flat_map(|(name, list)| list.iter().map(move |it| (it.address, Some(name))));
        own.chain(hosts)
    }

    /// The addresses that its name has.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.pointers().map(|(address, _)| address)
    }

    /// Those of a host below it; none: those that its name has of itself.
    pub(super) fn addresses_of(&self, host: Option<&Label>) -> impl Iterator<Item = IpAddr> {
        let (own, hosts) = match (self, host) {
            (Self::Addresses(addresses, _), None) => (Some(addresses), None),
            (Self::Hosts(hosts), Some(name)) => (None, hosts.get(name)),
            _ => (None, None),
        };
        let hosts = hosts.into_iter().flatten().map(|host| host.address);
        own.into_iter().flatten().copied().chain(hosts)
    }

    /// Whether there are names of ports of this protocol below it.
    pub(super) fn has_ports(&self, protocol: &[u8]) -> bool {
        self.ports().any(|(_, port)| port.is_of(protocol))
    }

    /// Which hosts serve a named port, and where; none: its own addresses do.
    pub(super) fn serving<'a, 'b>(
        &'a self,
        name: &'b [u8],
        protocol: &'b [u8],
    ) -> impl Iterator<Item = (Option<&'a Label>, u16)> + use<'a, 'b> {
        let ports = self.ports();
        let named = ports.filter(move |(_, port)| port.is_of(protocol) && *port.name == *name);
        named.map(|(host, port)| (host, port.number))
    }

    fn ports(&self) -> impl Iterator<Item = (Option<&Label>, &Port)> {
        let (own, hosts) = match self {
            Self::Addresses(_, ports) => (Some(ports), None),
            Self::Hosts(hosts) => (None, Some(hosts)),
            Self::Alias(_) => (None, None),
        };
        let own = own.into_iter().flat_map(|ports| ports.iter());
        let hosts = hosts.into_iter().flatten();
        let hosts = hosts.flat_map(|(name, list)| {
            let ports = list.iter().flat_map(|host| host.ports.iter());
            ports.map(move |port| (Some(name), port))
        });
        own.map(|port| (None, port)).chain(hosts)
    }
}

impl Port {
    pub(super) fn of(name: &str, protocol: Protocol, number: u16) -> Option<Self> {
        Some(Self {
            name: label(name)?,
            protocol,
            number,
        })
    }

    fn is_of(&self, protocol: &[u8]) -> bool {
        self.protocol
            .name()
            .as_bytes()
            .eq_ignore_ascii_case(protocol)
    }
}

/// A label of this text; none if it cannot be one.
pub(super) fn label(text: &str) -> Option<Label> {
    let fits = (1..=LABEL).contains(&text.len());
    fits.then(|| text.to_ascii_lowercase().into_bytes().into())
}

/// What an endpoint is called that has no name: `10-1-0-5`, `fd00-1--5`. The specification leaves
/// it open; `CoreDNS` does the same.
fn dashed(address: IpAddr) -> Label {
    let text = address.to_string().replace(['.', ':'], "-");
    text.into_bytes().into()
}
