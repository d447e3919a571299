// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides what one Service means on this node: which addresses lead to which backends.
//!
//! A function of the Service, its slices and the node's facts, total and without state. What an
//! object gets wrong becomes a [`Problem`] and harms nothing else. Knows neither other Services
//! (that is [`Desired`] and [`conflict`]) nor maps.

pub mod conflict;
pub mod desired;
pub mod forwarding;
pub mod maglev;

mod address;
mod backends;
mod endpoints;
mod exposure;
mod frontends;
mod health;
mod problem;
mod rules;
mod table;
mod tables;
mod topology;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

pub use backends::Backends;
pub use desired::{Desired, Exposed};
pub use exposure::{Clients, Exposure, External};
pub use health::HealthCheck;
pub use problem::{Fault, Object, Problem};
pub use rules::Rules;
pub use tables::Tables;

use crate::{
    maps::Frontend,
    model::{
        Affinity, EndpointSlice, Forwarding, Name, NodeFacts, Protocol, ServiceKind, ServiceObject,
    },
};
use endpoints::Endpoints;
use frontends::Group;
use lb_common::wire::Service;
use problem::Problems;

/// One Service's part of the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Age of the Service, which decides conflicts; see [`ServiceObject::created_s`].
    pub created_s: i64,
    /// Its slot tables and what leads to them.
    pub tables: Tables,
    /// What load balancers may ask this node about it.
    pub health: Option<HealthCheck>,
    /// What was left out, and why.
    pub problems: Vec<Problem>,
}

/// IPv4 or IPv6, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpFamily {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Which endpoints a table draws from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Set {
    /// All of the cluster's, by topology hints.
    Cluster,
    /// Those on this node.
    Local,
}

impl Set {
    /// As written in a backend's value, see `lb_common::wire::Backend::set`.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Cluster => 0,
            Self::Local => 1,
        }
    }
}

/// What tells one slot table from all others: a port of a Service, a family, a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableKey {
    /// The Service.
    pub service: Name,
    /// The port that clients dial.
    pub port: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Of frontends and backends alike.
    pub family: IpFamily,
    /// Where the backends come from.
    pub set: Set,
}

/// An address and port that serves. The order is the one that slot tables are built in: the same
/// on all nodes, whatever they saw first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// A slot table before it has slots, and what leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `namespace/name:port`, for people; one for both families of a port.
    pub label: Arc<str>,
    /// What clients dial, in order.
    pub frontends: Box<[Frontend]>,
    /// What is special about those of them that are no Cluster-IPs, in order.
    pub external: Box<[External]>,
    /// Every endpoint that is known, taking new flows or not.
    pub backends: Backends,
    /// How many slots; see [`maglev::slot_count`].
    pub slot_count: u32,
    /// Session affinity time-out; 0 = none.
    pub affinity_s: u32,
    /// Bits of [`Service::flags`].
    pub flags: u32,
    /// How clients from outside get to its backends on other nodes, by addresses that are no
    /// Cluster-IPs.
    pub forwarding: Forwarding,
}

/// What planning knows besides the Service and its slices.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// This node.
    pub node: &'a NodeFacts,
    /// What whoever runs it decided.
    pub rules: &'a Rules,
    /// Which Service has an address as its Cluster-IP.
    pub service_at: &'a dyn Fn(IpAddr) -> Option<Name>,
}

/// Plans one Service. `slices` are those of the Service, in any order.
pub fn plan<'a>(
    service: &ServiceObject,
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    around: Surroundings<'_>,
) -> Plan {
    let mut plan = Plan {
        created_s: service.created_s,
        ..Plan::default()
    };
    if !is_ours(service) {
        return plan;
    }
    let slices = endpoints::ours(slices);
    let mut problems = Problems::default();
    let groups = frontends::of(service, around.node, around.rules, &mut problems);
    let tables = groups.into_iter().map(|group| {
        let (port, family) = (group.port, group.family);
        let key = TableKey {
            service: service.name.clone(),
            port: port.port,
            protocol: port.protocol,
            family,
            set: group.set,
        };
        let endpoints = endpoints::of(service, port, family, &slices, around, &mut problems);
        let table = table(service, group, endpoints, around, &mut problems);
        (key, Arc::new(table))
    });
    plan.tables = tables.collect();
    plan.health = health::check(service, &slices, around.node);
    plan.problems = problems.into_list(service);
    plan
}

/// The table that a group leads to.
fn table(
    service: &ServiceObject,
    group: Group<'_>,
    endpoints: Endpoints<'_>,
    around: Surroundings<'_>,
    problems: &mut Problems,
) -> Table {
    let (port, node) = (group.port, around.node);
    let chosen = topology::choose(&endpoints, group.set, node);
    let elsewhere =
        chosen.is_empty() && !topology::choose(&endpoints, Set::Cluster, node).is_empty();
    let forwarding = forwarding::choose(service, &group, &endpoints, around.rules, problems);
    let known = if group.is_for_tunnels_alone() {
        // No flow has ever gone from here to any other one, so none needs to be remembered.
        topology::here(&endpoints, node)
    } else {
        endpoints
    };
    Table {
        label: label(service, &port.name, port.port, port.protocol),
        frontends: written(group.frontends, &group.external),
        external: group.external.into_iter().collect(),
        backends: endpoints::states(&known, &chosen),
        slot_count: maglev::slot_count(chosen.len()),
        affinity_s: match service.affinity {
            Affinity::None => 0,
            Affinity::ClientIp { seconds } => seconds,
        },
        flags: if elsewhere { Service::ELSEWHERE } else { 0 },
        forwarding,
    }
}

/// All entries that lead to a table.
fn written(cluster_ips: BTreeSet<Frontend>, external: &BTreeSet<External>) -> Box<[Frontend]> {
    let mut frontends = cluster_ips;
    frontends.extend(external.iter().map(External::entry));
    frontends.into_iter().collect()
}

/// Whether a proxy has anything to do for a Service, and this proxy is the one that is asked
/// (KEP-2447: a Service that names a proxy is for that one alone; we answer to no name).
fn is_ours(service: &ServiceObject) -> bool {
    !service.headless && service.kind != ServiceKind::ExternalName && service.proxy_name.is_none()
}

/// What people call a port of a Service; unique for it, since named ports differ within a Service.
fn label(service: &ServiceObject, port_name: &str, port: u16, protocol: Protocol) -> Arc<str> {
    let name = &service.name;
    match (port_name, protocol) {
        ("", Protocol::Tcp) => format!("{name}:{port}"),
        ("", _) => format!("{name}:{port}/{}", protocol.name().to_lowercase()),
        (port_name, _) => format!("{name}:{port_name}"),
    }
    .into()
}

#[cfg(test)]
mod tests;
