// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random worlds: few names, addresses and ports, so that they collide; some of them hostile.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use lb_userspace::model::{
    Affinity, Change, Endpoint, EndpointSlice, Forwarding, Kind, Name, NodeObject, Place, Policy,
    Protocol, ServiceKind, ServiceObject, ServicePort, SlicePort,
};

use crate::chance::Chance;

/// All objects of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    services: BTreeMap<Name, Arc<ServiceObject>>,
    slices: BTreeMap<Name, Arc<EndpointSlice>>,
    zone: Option<Arc<str>>,
    /// All but the one that is ours.
    nodes: BTreeMap<Arc<str>, Arc<NodeObject>>,
}

/// The node that all is seen from.
pub const NODE: &str = "node-a";

impl Objects {
    /// A random world.
    pub fn random(chance: &mut Chance) -> Self {
        let mut objects = Self::default();
        objects.change(chance, 1);
        objects
    }

    /// Makes one in `rarity` objects anew, or takes it away.
    pub fn change(&mut self, chance: &mut Chance, rarity: usize) {
        for name in SERVICES.map(|name| Name::new("default", name)) {
            if chance.one_in(rarity) {
                self.services.remove(&name);
                if !chance.one_in(6) {
                    let object = service(chance, &name);
                    self.services.insert(name.clone(), Arc::new(object));
                }
            }
            for suffix in ["-1", "-2", "-3"] {
                let slice_name = Name::new("default", &format!("{}{suffix}", name.name));
                if chance.one_in(rarity) {
                    self.slices.remove(&slice_name);
                    if !chance.one_in(5) {
                        let object = slice(chance, &name, &slice_name);
                        self.slices.insert(slice_name, Arc::new(object));
                    }
                }
            }
        }
        if chance.one_in(rarity) {
            self.zone = chance.one_in(2).then(|| "zone-1".into());
        }
        for name in ["node-b", "node-c"].map(Arc::from) {
            if chance.one_in(rarity) {
                self.nodes.remove(&name);
                if !chance.one_in(4) {
                    let addresses = several(chance, 3, |chance| address(chance.pick(&NODES)));
                    let object = node(&name, addresses, None);
                    self.nodes.insert(name, object);
                }
            }
        }
    }

    /// The complete lists of all kinds, objects in any order.
    pub fn listing(&self, chance: &mut Chance) -> Vec<Change> {
        let kinds = [Kind::Service, Kind::EndpointSlice, Kind::Node];
        let mut objects = Self::default().differences(self, chance);
        objects.push(Change::Node(self.node()));
        chance.shuffle(&mut objects);
        let begin = kinds.map(Change::Listing);
        let end = kinds.map(Change::Listed);
        begin.into_iter().chain(objects).chain(end).collect()
    }

    /// What leads from this world to another one, object by object, in any order.
    pub fn differences(&self, to: &Self, chance: &mut Chance) -> Vec<Change> {
        let mut changes = Vec::new();
        let gone = self
            .services
            .keys()
            .filter(|name| !to.services.contains_key(name));
        changes.extend(gone.cloned().map(Change::ServiceGone));
        let gone = self
            .slices
            .keys()
            .filter(|name| !to.slices.contains_key(name));
        changes.extend(gone.cloned().map(Change::SliceGone));
        let differs = to
            .services
            .iter()
            .filter(|(name, new)| self.services.get(name) != Some(new));
        changes.extend(differs.map(|(_, object)| Change::Service(object.clone())));
        let differs = to
            .slices
            .iter()
            .filter(|(name, new)| self.slices.get(name) != Some(new));
        changes.extend(differs.map(|(_, object)| Change::Slice(object.clone())));
        if self.zone != to.zone {
            changes.push(Change::Node(to.node()));
        }
        let names = self.nodes.keys();
        let gone = names.filter(|name| !to.nodes.contains_key(*name));
        changes.extend(gone.cloned().map(Change::NodeGone));
        let nodes = to.nodes.iter();
        let differs = nodes.filter(|(name, new)| self.nodes.get(*name) != Some(new));
        changes.extend(differs.map(|(_, object)| Change::Node(object.clone())));
        chance.shuffle(&mut changes);
        changes
    }

    fn node(&self) -> Arc<NodeObject> {
        node(NODE, vec![address("192.0.2.1")], self.zone.clone())
    }
}

fn node(name: &str, addresses: Vec<IpAddr>, zone: Option<Arc<str>>) -> Arc<NodeObject> {
    Arc::new(NodeObject {
        name: name.into(),
        addresses,
        zone,
        leaving: false,
    })
}

/// Addresses of the others.
const NODES: [&str; 4] = ["192.0.2.2", "192.0.2.3", "2001:db8:1::2", "2001:db8:1::3"];

const SERVICES: [&str; 6] = ["alpaca", "bandicoot", "camel", "dingo", "emu", "fox"];

const CLUSTER_IPS: [&str; 8] = [
    "10.96.0.1",
    "10.96.0.2",
    "10.96.0.3",
    "10.96.0.4",
    "fd00:96::1",
    "fd00:96::2",
    "fd00:96::3",
    // An address of the node.
    "192.0.2.1",
];

const EXTERNAL: [&str; 4] = ["203.0.113.1", "203.0.113.2", "10.96.0.2", "2001:db8::1"];

const ENDPOINTS: [&str; 12] = [
    "10.244.0.1",
    "10.244.0.2",
    "10.244.0.3",
    "10.244.0.4",
    "10.244.0.5",
    "10.244.0.6",
    "fd00:244::1",
    "fd00:244::2",
    "fd00:244::3",
    // Hostile ones, and a Service's address.
    "169.254.169.254",
    "ff02::1",
    "10.96.0.1",
];

const PORT_NAMES: [&str; 3] = ["http", "http", "dns"];

fn service(chance: &mut Chance, name: &Name) -> ServiceObject {
    let policy = |local| {
        if local {
            Policy::Local
        } else {
            Policy::Cluster
        }
    };
    ServiceObject {
        name: name.clone(),
        uid: "".into(),
        created_s: i64::try_from(chance.below(3)).unwrap_or(0),
        kind: match chance.below(16) {
            0 => ServiceKind::ExternalName,
            1 | 2 => ServiceKind::NodePort,
            3..6 => ServiceKind::LoadBalancer,
            _ => ServiceKind::ClusterIp,
        },
        cluster_ips: several(chance, 3, |chance| address(chance.pick(&CLUSTER_IPS))),
        ports: several(chance, 4, port),
        internal_policy: policy(chance.one_in(4)),
        external_policy: policy(chance.one_in(3)),
        affinity: match chance.below(4) {
            0 => Affinity::ClientIp { seconds: 10_800 },
            _ => Affinity::None,
        },
        forwarding: *chance.pick(&FORWARDINGS),
        external_ips: several(chance, 2, |chance| address(chance.pick(&EXTERNAL))),
        load_balancer_ips: several(chance, 3, |chance| address(chance.pick(&EXTERNAL))),
        source_ranges: None,
        health_check_node_port: *chance.pick(&[0, 30_999]),
        proxy_name: chance.one_in(24).then(|| "other".into()),
        headless: chance.one_in(24),
        external_name: None,
    }
}

const FORWARDINGS: [Option<Forwarding>; 4] = [
    None,
    Some(Forwarding::Snat),
    Some(Forwarding::Ipip),
    Some(Forwarding::Geneve),
];

fn port(chance: &mut Chance) -> ServicePort {
    ServicePort {
        name: (*chance.pick(&PORT_NAMES)).into(),
        protocol: protocol(chance),
        port: match chance.below(16) {
            0 => 0,
            _ => *chance.pick(&[80, 53, 443]),
        },
        node_port: *chance.pick(&[0, 30_080, 30_081]),
    }
}

fn slice(chance: &mut Chance, service: &Name, name: &Name) -> EndpointSlice {
    EndpointSlice {
        name: name.clone(),
        service: service.name.clone(),
        endpoints: several(chance, 8, endpoint),
        ports: several(chance, 6, |chance| SlicePort {
            name: (*chance.pick(&PORT_NAMES)).into(),
            protocol: protocol(chance),
            port: *chance.pick(&[8_080, 8_080, 8_080, 8_053, 8_053, 0]),
        }),
        proxy_name: chance.one_in(24).then(|| "other".into()),
        headless: chance.one_in(24),
        triggered_ns: None,
    }
}

fn endpoint(chance: &mut Chance) -> Endpoint {
    Endpoint {
        address: address(chance.pick(&ENDPOINTS)),
        ready: !chance.one_in(4),
        serving: !chance.one_in(4),
        terminating: chance.one_in(4),
        hostname: None,
        place: Arc::new(Place {
            node: match chance.below(16) {
                0 => None,
                _ => Some((*chance.pick(&[NODE, "node-b"])).into()),
            },
            zone: None,
            hint_zones: hints(chance, &["zone-1", "zone-2"]),
            hint_nodes: hints(chance, &[NODE, "node-b"]),
        }),
    }
}

fn hints(chance: &mut Chance, names: &[&str]) -> BTreeSet<Arc<str>> {
    match chance.below(4) {
        0 => BTreeSet::new(),
        _ => BTreeSet::from([(*chance.pick(names)).into()]),
    }
}

fn protocol(chance: &mut Chance) -> Protocol {
    match chance.below(24) {
        0 => Protocol::Sctp,
        1..6 => Protocol::Udp,
        _ => Protocol::Tcp,
    }
}

/// Fewer than `bound`.
fn several<T>(chance: &mut Chance, bound: usize, make: impl Fn(&mut Chance) -> T) -> Vec<T> {
    (0..chance.below(bound)).map(|_| make(chance)).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address of the tables above")
}
