// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an object gets wrong, for people: which object, what, and what to do.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use crate::{
    maps::Frontend,
    model::{Forwarding, Kind, Name, ServiceObject},
};

/// Part of an object was left out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Whose fault it is.
    pub object: Object,
    /// What it is.
    pub fault: Fault,
}

/// An object, as people name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub name: Name,
}

/// Ways to be wrong. The sentence says what was left out; [`Fault::remedy`] what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// A Service's port has the number 0.
    #[error("port {port:?} has the number 0 and is left out")]
    ServicePortZero {
        /// Its name.
        port: String,
    },
    /// A slice's port has the number 0.
    #[error("port {port:?} has the number 0; its endpoints are left out")]
    SlicePortZero {
        /// Its name.
        port: String,
    },
    /// An address that a Service cannot have.
    #[error("Service address {address} is {what} and is left out")]
    ServiceAddress {
        /// The address.
        address: IpAddr,
        /// What kind of address it is.
        what: &'static str,
    },
    /// An address that an endpoint cannot have.
    #[error("endpoint {address} is {what} and is left out")]
    Endpoint {
        /// The address.
        address: IpAddr,
        /// What kind of address it is.
        what: &'static str,
    },
    /// An address that counts only where whoever runs the node wants it.
    #[error("external address {address} is left out, since externalIPs are off on this node")]
    ExternalIpOff {
        /// The address.
        address: IpAddr,
    },
    /// An address of a family that the Service does not have.
    #[error("address {address} is left out, since the Service has no Cluster-IP of its family")]
    Family {
        /// The address.
        address: IpAddr,
    },
    /// Ranges let nobody of a family in.
    #[error(
        "loadBalancerSourceRanges has no range of the family of {address}, so nobody may dial it"
    )]
    NobodyAdmitted {
        /// The load balancer's address.
        address: IpAddr,
    },
    /// Node ports without a node to have them.
    #[error("its node ports are nowhere, since no address of this node is known")]
    NoNodeAddress,
    /// An endpoint that is a Service: packets are translated once, so nobody would get there.
    #[error("endpoint {address} is the address of Service {owner} and is left out")]
    EndpointOfService {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        owner: Name,
    },
    /// Tunnels lead to nodes, and nobody says on which one an endpoint is.
    #[error(
        "clients from outside get to other nodes by snat and not by {wanted}, since not all \
         endpoints say on which node they are"
    )]
    NoNodeName {
        /// What was asked for.
        wanted: Forwarding,
    },
    /// More ports than one Service may take from all others.
    #[error("there are {count} ports, and only the first {most} are served")]
    Ports {
        /// How many it has.
        count: usize,
        /// How many are served.
        most: usize,
    },
    /// Two ports of one Service are the same to a client.
    #[error("{frontend} is listed twice; the later port is left out")]
    Twice {
        /// What both ask for.
        frontend: Frontend,
    },
    /// An older Service has the address already, or one has it as its Cluster-IP.
    #[error("{frontend} belongs to Service {owner}, which comes first")]
    Taken {
        /// What both ask for.
        frontend: Frontend,
        /// Who has it.
        owner: Name,
    },
    /// More problems than are worth a line each.
    #[error("{count} further problems of this Service are not listed")]
    More {
        /// How many.
        count: usize,
    },
}

impl Fault {
    /// What kind of fault it is, as a label of metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::ServicePortZero { .. } => "service_port_zero",
            Self::SlicePortZero { .. } => "slice_port_zero",
            Self::ServiceAddress { .. } => "service_address",
            Self::Endpoint { .. } => "endpoint_address",
            Self::ExternalIpOff { .. } => "external_ip_off",
            Self::Family { .. } => "family",
            Self::NobodyAdmitted { .. } => "nobody_admitted",
            Self::NoNodeAddress => "no_node_address",
            Self::EndpointOfService { .. } => "endpoint_of_service",
            Self::NoNodeName { .. } => "no_node_name",
            Self::Ports { .. } => "ports",
            Self::Twice { .. } => "twice",
            Self::Taken { .. } => "taken",
            Self::More { .. } => "more",
        }
    }

    /// How many faults it stands for.
    pub const fn count(&self) -> usize {
        match self {
            Self::More { count } => *count,
            _ => 1,
        }
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::ServicePortZero { .. } | Self::SlicePortZero { .. } => {
                "give the port a number from 1 to 65535"
            }
            Self::ServiceAddress { .. } => "give the Service an address from the Service CIDR",
            Self::Endpoint { .. } | Self::EndpointOfService { .. } => {
                "list addresses of pods or of nodes"
            }
            Self::ExternalIpOff { .. } => "use the address of a load balancer",
            Self::Family { .. } => "make the Service dual-stack",
            Self::NobodyAdmitted { .. } => "add ranges, or take the address away",
            Self::NoNodeAddress => {
                "there has to be a Node with this node's name and status.addresses"
            }
            Self::NoNodeName { .. } => {
                "give all endpoints of its EndpointSlices a nodeName, or annotate the Service with \
                 weiche.dev/forwarding: snat"
            }
            Self::Ports { .. } => "split the Service",
            Self::Twice { .. } => "give each port of the Service its own number or protocol",
            Self::Taken { .. } => "give one of the two Services another address or port",
            Self::More { .. } => "correct those that are listed first",
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::Node => "Node",
            Kind::Namespace => "Namespace",
        };
        write!(f, "{kind} {}", self.name)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, fault } = self;
        write!(f, "{object}: {fault}; {}", fault.remedy())
    }
}

/// Problems of one Service while it is planned. A hostile object has thousands; it shall not fill
/// memory and report with them.
#[derive(Debug, Default)]
pub(super) struct Problems {
    listed: BTreeSet<Problem>,
    more: usize,
}

/// Lines that one Service gets.
const LISTED: usize = 20;

impl Problems {
    pub(super) fn add(&mut self, kind: Kind, name: &Name, fault: Fault) {
        let problem = Problem {
            object: Object {
                kind,
                name: name.clone(),
            },
            fault,
        };
        if self.listed.len() < LISTED {
            self.listed.insert(problem);
        } else if !self.listed.contains(&problem) {
            self.more = self.more.saturating_add(1);
        }
    }

    pub(super) fn into_list(mut self, service: &ServiceObject) -> Vec<Problem> {
        if self.more > 0 {
            self.listed.insert(Problem {
                object: Object {
                    kind: Kind::Service,
                    name: service.name.clone(),
                },
                fault: Fault::More { count: self.more },
            });
        }
        self.listed.into_iter().collect()
    }
}
