// SPDX-License-Identifier: MIT OR Apache-2.0
//! By which addresses clients reach a Service, and which of its sets of endpoints they get there.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use lb_common::wire::{Service, scope};

use super::{Fault, IpFamily, Problems, Rules, Set, address};
use crate::{
    maps::Frontend,
    model::{Kind, NodeFacts, Policy, ServiceKind, ServiceObject},
};

/// What kind of address clients dial. In the order of precedence where several ask for one
/// frontend: a Cluster-IP was given by the API server to one Service alone, the others can be
/// anything that somebody wrote down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exposure {
    /// `spec.clusterIPs`.
    ClusterIp,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancer,
    /// `spec.externalIPs`.
    ExternalIp,
    /// An address of the node, at a port's `nodePort`.
    NodePort,
}

impl Exposure {
    /// As people say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::LoadBalancer => "LoadBalancer",
            Self::ExternalIp => "ExternalIP",
            Self::NodePort => "NodePort",
        }
    }
}

/// Which clients a frontend's table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clients {
    /// Everybody.
    All,
    /// Pods and the node's own processes.
    Inside,
    /// Everybody else.
    Outside,
    /// Nobody who dials: what other nodes have let in, and sent to this one through a tunnel.
    Tunnelled,
}

impl Clients {
    /// As people say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Inside => "inside",
            Self::Outside => "outside",
            Self::Tunnelled => "tunnels",
        }
    }
}

/// What is special about a frontend that is no Cluster-IP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct External {
    /// What is dialled, whoever dials it. A node port's that comes out of tunnels has no address:
    /// it was dialled at another node's.
    pub frontend: Frontend,
    /// What kind of address it is.
    pub exposure: Exposure,
    /// Whether it is an address of this node, on which there is more than Services.
    pub is_of_node: bool,
    /// Who gets the table's backends there.
    pub clients: Clients,
    /// Who may dial it; none: everybody. Of the frontend's family.
    pub ranges: Option<Arc<[IpNet]>>,
}

impl External {
    /// The entry that is written for these clients.
    pub const fn entry(&self) -> Frontend {
        Frontend {
            scope: match self.clients {
                Clients::All | Clients::Inside => scope::ALL,
                Clients::Outside => scope::OUTSIDE,
                Clients::Tunnelled => scope::TUNNEL,
            },
            ..self.frontend
        }
    }

    /// Whether anybody dials it; see [`Clients::Tunnelled`].
    pub const fn is_dialled(&self) -> bool {
        !matches!(self.clients, Clients::Tunnelled)
    }

    /// Bits of [`Service::flags`] that its entry has besides its table's.
    pub const fn flags(&self) -> u32 {
        let split = match self.clients {
            Clients::All | Clients::Outside | Clients::Tunnelled => 0,
            Clients::Inside => Service::SPLIT,
        };
        let ranges = match self.ranges {
            Some(_) => Service::RANGES,
            None => 0,
        };
        split | ranges
    }
}

/// The Service's addresses that are fit for use, Cluster-IPs first.
pub(super) fn addresses(
    service: &ServiceObject,
    node: &NodeFacts,
    rules: &Rules,
    problems: &mut Problems,
) -> BTreeSet<(Exposure, IpAddr)> {
    let mut fit = BTreeSet::new();
    for (exposure, address) in stated(service) {
        if let Some(fault) = refused(service, exposure, address, node, rules) {
            problems.add(Kind::Service, &service.name, fault);
            continue;
        }
        let ranges = ranges(service, exposure, IpFamily::of(address));
        if ranges.is_some_and(|ranges| ranges.is_empty()) {
            // Exposed nevertheless: packets to it are to be dropped, not to be left alone.
            let fault = Fault::NobodyAdmitted { address };
            problems.add(Kind::Service, &service.name, fault);
        }
        fit.insert((exposure, address));
    }
    if has_node_ports(service) {
        if node.addresses.is_empty() && node.held.is_empty() {
            problems.add(Kind::Service, &service.name, Fault::NoNodeAddress);
        }
        let addresses = rules.node_port_addresses(node).into_iter();
        let of_family = addresses.filter(|address| has_family(service, *address));
        let addresses = of_family.filter(|address| address::refused(*address).is_none());
        fit.extend(addresses.map(|address| (Exposure::NodePort, address)));
    }
    fit
}

/// The addresses that the object itself states.
fn stated(service: &ServiceObject) -> impl Iterator<Item = (Exposure, IpAddr)> {
    let of = |exposure, addresses: &'_ [IpAddr]| {
        let addresses = addresses.iter().copied();
        addresses
            .map(move |address| (exposure, address))
            .collect::<Vec<_>>()
    };
    let balanced = match service.kind {
        ServiceKind::LoadBalancer => service.load_balancer_ips.as_slice(),
        _ => &[],
    };
    of(Exposure::ClusterIp, &service.cluster_ips)
        .into_iter()
        .chain(of(Exposure::LoadBalancer, balanced))
        .chain(of(Exposure::ExternalIp, &service.external_ips))
}

fn refused(
    service: &ServiceObject,
    exposure: Exposure,
    address: IpAddr,
    node: &NodeFacts,
    rules: &Rules,
) -> Option<Fault> {
    if let Some(what) = address::refused(address) {
        return Some(Fault::ServiceAddress { address, what });
    }
    match exposure {
        // It would take the node's own services away from it. Balancers, though, may lend the
        // nodes' addresses to Services, and it is they who give the ports.
        Exposure::ClusterIp if node.addresses.contains(&address) => Some(Fault::ServiceAddress {
            address,
            what: "an address of this node",
        }),
        Exposure::ExternalIp if !rules.external_ips => Some(Fault::ExternalIpOff { address }),
        Exposure::ClusterIp => None,
        Exposure::LoadBalancer | Exposure::ExternalIp | Exposure::NodePort => {
            (!has_family(service, address)).then_some(Fault::Family { address })
        }
    }
}

/// A Service has the families of its Cluster-IPs and no other (KEP-563).
fn has_family(service: &ServiceObject, address: IpAddr) -> bool {
    let mut families = service.cluster_ips.iter().copied().map(IpFamily::of);
    families.any(|family| family == IpFamily::of(address))
}

/// Which set which clients get. Pods and processes of the nodes that dial an address from outside
/// are short-cut to all endpoints: for them `externalTrafficPolicy` changes nothing, since nothing
/// stands between them and the Service (kube-proxy's rule).
///
/// Where any node may let clients in for the endpoints of all, it may send them to ours by a
/// tunnel, and has chosen this node then. That is so whatever forwarding is here: nodes are not
/// told of another one at the same time.
pub(super) fn sets(service: &ServiceObject, exposure: Exposure) -> &'static [(Clients, Set)] {
    if exposure == Exposure::ClusterIp {
        return match service.internal_policy {
            Policy::Cluster => &[(Clients::All, Set::Cluster)],
            Policy::Local => &[(Clients::All, Set::Local)],
        };
    }
    match service.external_policy {
        Policy::Cluster => &[
            (Clients::All, Set::Cluster),
            (Clients::Tunnelled, Set::Local),
        ],
        Policy::Local => &[
            (Clients::Inside, Set::Cluster),
            (Clients::Outside, Set::Local),
        ],
    }
}

/// The addresses of node ports' entries for tunnels, of the families that the Service has.
pub(super) fn tunnelled_node_ports(service: &ServiceObject) -> impl Iterator<Item = IpAddr> {
    let addresses = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let is_asked = has_node_ports(service);
    let asked = addresses.into_iter().filter(move |_| is_asked);
    asked.filter(|address| has_family(service, *address))
}

/// Who may dial an address of a kind; ranges are for load balancers alone.
pub(super) fn ranges(
    service: &ServiceObject,
    exposure: Exposure,
    family: IpFamily,
) -> Option<Arc<[IpNet]>> {
    if exposure != Exposure::LoadBalancer {
        return None;
    }
    let ranges = service.source_ranges.as_ref()?.iter();
    // With ranges of the other family alone nobody of this one is let in: the API promises that
    // traffic is restricted to the ranges (kube-proxy lets everybody in).
    let ranges = ranges.filter(|range| IpFamily::of(range.addr()) == family);
    Some(ranges.copied().collect())
}

/// Whether the Service's ports have numbers on the nodes.
fn has_node_ports(service: &ServiceObject) -> bool {
    let is_of_kind = matches!(
        service.kind,
        ServiceKind::NodePort | ServiceKind::LoadBalancer
    );
    is_of_kind && service.ports.iter().any(|port| port.node_port != 0)
}
