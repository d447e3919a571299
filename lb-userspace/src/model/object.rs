// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects of the cluster as the watchers hand them on.

use std::{collections::BTreeSet, fmt, net::IpAddr, ops::Deref, sync::Arc};

use ipnet::IpNet;
use lb_common::tunnel::Format;
use serde::{Deserialize, Serialize};

use super::NodeFacts;

/// Namespace and name of an object; sorts by namespace first. One word: a Service's name is a key
/// in a dozen tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub(super) Arc<Parts>);

/// What a [`Name`] is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parts {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Name {
    /// Both parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self::from(Parts {
            namespace: namespace.into(),
            name: name.into(),
        })
    }
}

impl From<Parts> for Name {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Name {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Kinds of objects that a watcher lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `v1 Service`.
    Service,
    /// `discovery.k8s.io/v1 EndpointSlice`.
    EndpointSlice,
    /// `v1 Node`.
    Node,
    /// `v1 Namespace`; followed for the sake of names alone.
    Namespace,
}

/// One step of the stream that both modes produce. Nothing after it knows which mode it was.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A Service is there, new or changed.
    Service(Arc<ServiceObject>),
    /// A Service is gone.
    ServiceGone(Name),
    /// An `EndpointSlice` is there, new or changed.
    Slice(Arc<EndpointSlice>),
    /// An `EndpointSlice` is gone.
    SliceGone(Name),
    /// A Node is there, new or changed.
    Node(Arc<NodeObject>),
    /// A Node is gone.
    NodeGone(Arc<str>),
    /// A Namespace is there.
    Namespace(Arc<str>),
    /// A Namespace is gone.
    NamespaceGone(Arc<str>),
    /// The addresses that this node's links have, all of them. No object says it, and nobody does
    /// where no node port can be on them.
    Addresses(BTreeSet<IpAddr>),
    /// An object of this kind is there and cannot be read: what was known of it stays in force.
    Unreadable(Kind, Name),
    /// A list of this kind begins: what it does not name before `Listed` is gone.
    Listing(Kind),
    /// The list of this kind is complete.
    Listed(Kind),
}

/// `spec.type`, as far as a proxy cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceKind {
    /// `ClusterIP`.
    #[default]
    ClusterIp,
    /// `NodePort`.
    NodePort,
    /// `LoadBalancer`.
    LoadBalancer,
    /// `ExternalName`: names only, no packets.
    ExternalName,
}

/// Transport protocols of a Service's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The name, as Kubernetes spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// `internalTrafficPolicy` and `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// All endpoints.
    #[default]
    Cluster,
    /// Only endpoints on this node.
    Local,
}

/// How clients from outside get to a backend that is on another node: what `--forwarding` says for
/// all Services, and the annotation `weiche.dev/forwarding` for one. It changes nothing where
/// `externalTrafficPolicy` is `Local`, nor for who dials a Cluster-IP.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    Serialize,
    Deserialize,
)]
pub enum Forwarding {
    /// The backend sees this node in the client's place, and answers by way of it.
    #[default]
    #[value(name = "snat")]
    #[serde(rename = "snat")]
    Snat,
    /// Packets are sent to the backend's node as they are, as IP in IP: the backend sees the
    /// client, and answers it from there. Networks must let protocol 4 (IPv6: 41) pass.
    #[value(name = "dsr-ipip")]
    #[serde(rename = "dsr-ipip")]
    Ipip,
    /// Likewise, but inside of Geneve, which is UDP to port 6081.
    #[value(name = "dsr-geneve")]
    #[serde(rename = "dsr-geneve")]
    Geneve,
}

impl Forwarding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Snat, Self::Ipip, Self::Geneve];

    /// The tunnel that it is by, if it is by one.
    pub const fn format(self) -> Option<Format> {
        match self {
            Self::Snat => None,
            Self::Ipip => Some(Format::Ipip),
            Self::Geneve => Some(Format::Geneve),
        }
    }

    /// The one by this tunnel, or by none.
    pub const fn by(format: Option<Format>) -> Self {
        match format {
            None => Self::Snat,
            Some(Format::Ipip) => Self::Ipip,
            Some(Format::Geneve) => Self::Geneve,
        }
    }

    /// As the flag and the annotation say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Snat => "snat",
            Self::Ipip => "dsr-ipip",
            Self::Geneve => "dsr-geneve",
        }
    }
}

impl fmt::Display for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `sessionAffinity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Each connection chooses.
    #[default]
    None,
    /// A client keeps its backend for this many seconds after its last new connection.
    ClientIp {
        /// 1 to 86,400.
        seconds: u32,
    },
}

/// One of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Empty where the Service has one unnamed port.
    pub name: Arc<str>,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port that clients dial.
    pub port: u16,
    /// The node port; 0 = none.
    pub node_port: u16,
}

/// A Service. Fields that no rule reads yet are still carried: planning decides, not watching.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceObject {
    /// Namespace and name.
    pub name: Name,
    /// `metadata.uid`; empty where the source has none, and in a [`World`](super::World).
    pub uid: Arc<str>,
    /// `metadata.creationTimestamp` in seconds since 1970; 0 where the source has none.
    pub created_s: i64,
    /// `spec.type`.
    pub kind: ServiceKind,
    /// `spec.clusterIPs`, parsed; empty for headless Services.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: Policy,
    /// `spec.externalTrafficPolicy`.
    pub external_policy: Policy,
    /// `spec.sessionAffinity` and its time-out.
    pub affinity: Affinity,
    /// Annotation `weiche.dev/forwarding`; none: as it is for all Services.
    pub forwarding: Option<Forwarding>,
    /// `spec.externalIPs`, parsed.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip` whose `ipMode` is not `Proxy`.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`, parsed. None: there are none, so everybody may dial;
    /// empty: there were some, but none that makes sense, so nobody may.
    pub source_ranges: Option<Vec<IpNet>>,
    /// `spec.healthCheckNodePort`; 0 = none.
    pub health_check_node_port: u16,
    /// Label `service.kubernetes.io/service-proxy-name`.
    pub proxy_name: Option<Arc<str>>,
    /// Label `service.kubernetes.io/headless` is there, or `clusterIP` is `None`.
    pub headless: bool,
    /// `spec.externalName`: what the Service's name is another name of.
    pub external_name: Option<Arc<str>>,
}

/// One of an `EndpointSlice`'s `ports`, with a name and a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlicePort {
    /// Matches [`ServicePort::name`].
    pub name: Arc<str>,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port on the endpoint, 1 to 65,535.
    pub port: u16,
}

/// An endpoint's first address; the rest are ignored, as the API says.
pub type Address = IpAddr;

/// One of an `EndpointSlice`'s `endpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `addresses[0]`.
    pub address: Address,
    /// `conditions.ready`, nil counted as true.
    pub ready: bool,
    /// `conditions.serving`, nil counted as true.
    pub serving: bool,
    /// `conditions.terminating`, nil counted as false.
    pub terminating: bool,
    /// `hostname`: what it is called below a headless Service's name.
    pub hostname: Option<Arc<str>>,
    /// Where it is. Endpoints that are at one place share it.
    pub place: Arc<Place>,
}

impl Endpoint {
    /// Whether it is on the node that we are on.
    pub fn is_on(&self, node: &NodeFacts) -> bool {
        self.place.node.as_ref() == Some(&node.name)
    }
}

/// Where an endpoint is, and for whom. There are far fewer places than endpoints: a node's are
/// hinted alike, unless hints move some of them to other zones.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// `zone`.
    pub zone: Option<Arc<str>>,
    /// `hints.forNodes`.
    pub hint_nodes: BTreeSet<Arc<str>>,
    /// `hints.forZones`.
    pub hint_zones: BTreeSet<Arc<str>>,
}

/// An `EndpointSlice` of IPv4 or IPv6 addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace and name of the slice.
    pub name: Name,
    /// Label `kubernetes.io/service-name`: the Service it belongs to, in the same namespace.
    pub service: Arc<str>,
    /// The endpoints, in the object's order.
    pub endpoints: Vec<Endpoint>,
    /// The ports, each of which every endpoint serves.
    pub ports: Vec<SlicePort>,
    /// Label `service.kubernetes.io/service-proxy-name`, which may be on the slice alone.
    pub proxy_name: Option<Arc<str>>,
    /// Label `service.kubernetes.io/headless` is there, which may be on the slice alone.
    pub headless: bool,
    /// Annotation `endpoints.kubernetes.io/last-change-trigger-time`, in nanoseconds since 1970:
    /// when something happened to a Pod or the Service that made the slice what it is.
    pub triggered_ns: Option<u64>,
}

/// A Node, as far as a proxy cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeObject {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `status.addresses` of type `InternalIP`, then `ExternalIP`, parsed.
    pub addresses: Vec<IpAddr>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// It is being deleted, or tainted by the cluster autoscaler to be deleted soon.
    pub leaving: bool,
}
