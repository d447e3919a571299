// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cluster as large as one likes, as the API server tells of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use lb_userspace::model::{
    Affinity, Change, Endpoint, EndpointSlice, Kind, Name, NodeObject, Policy, Protocol,
    ServiceKind, ServiceObject, ServicePort, SlicePort,
};

/// Endpoints of one slice at most: the controller's default.
const SLICE: u32 = 100;

/// The node that all is seen from.
pub(super) const NODE: &str = "node-0";

/// Services with as many endpoints each.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) services: u32,
    pub(super) endpoints: u32,
    /// Which pod is behind each Service at each place; a number makes an address.
    pods: Vec<u32>,
    changes: u32,
}

impl Cluster {
    pub(super) fn new(services: u32, endpoints: u32) -> Self {
        Self {
            services,
            endpoints,
            pods: (1..=services * endpoints).collect(),
            changes: 0,
        }
    }

    /// The complete lists of all kinds.
    pub(super) fn listing(&self) -> impl Iterator<Item = Change> {
        let kinds = [Kind::Service, Kind::EndpointSlice, Kind::Node];
        let begin = kinds.into_iter().map(Change::Listing);
        let end = kinds.into_iter().map(Change::Listed);
        begin.chain(self.objects()).chain(end)
    }

    /// All objects.
    pub(super) fn objects(&self) -> impl Iterator<Item = Change> {
        let node = Change::Node(Arc::new(NodeObject {
            name: NODE.into(),
            addresses: vec![Ipv4Addr::new(192, 0, 2, 1).into()],
            zone: Some("zone-0".into()),
            leaving: false,
        }));
        let services = (0..self.services).map(service);
        let slices = (0..self.services).flat_map(move |service| {
            let numbers = 0..self.endpoints.div_ceil(SLICE);
            numbers.map(move |number| self.slice(service, number))
        });
        [node].into_iter().chain(services).chain(slices)
    }

    /// One pod of one Service is replaced by another one; each time it is another Service's turn.
    pub(super) fn replace_pod(&mut self) -> Change {
        self.changes += 1;
        // A prime, so that neighbours in memory do not follow each other.
        let step = u64::from(self.changes) * 7_919;
        let service = u32::try_from(step % u64::from(self.services)).unwrap_or(0);
        let place = self.changes % self.endpoints;
        let pod = self.services * self.endpoints + self.changes;
        if let Some(known) = self.pods.get_mut(index(service * self.endpoints + place)) {
            *known = pod;
        }
        self.slice(service, place / SLICE)
    }

    fn slice(&self, service: u32, number: u32) -> Change {
        let places = number * SLICE..((number + 1) * SLICE).min(self.endpoints);
        let endpoint = |place: u32| {
            let at = index(service * self.endpoints + place);
            let pod = self.pods.get(at).copied().unwrap_or(0);
            let [_, a, b, c] = pod.to_be_bytes();
            Endpoint {
                address: Ipv4Addr::new(10, a, b, c).into(),
                ready: true,
                serving: true,
                terminating: false,
                node: Some(format!("node-{}", pod % 100).into()),
                zone: Some(format!("zone-{}", pod % 3).into()),
                hint_zones: [].into(),
                hint_nodes: [].into(),
            }
        };
        let of = name(service);
        Change::Slice(Arc::new(EndpointSlice {
            name: Name::new(&of.namespace, &format!("{}-{number:05}", of.name)),
            service: of.name,
            endpoints: places.map(endpoint).collect(),
            ports: vec![SlicePort {
                name: "http".into(),
                protocol: Protocol::Tcp,
                port: 8_080,
            }],
            proxy_name: None,
            headless: false,
            triggered_ns: None,
        }))
    }
}

fn service(number: u32) -> Change {
    Change::Service(Arc::new(ServiceObject {
        name: name(number),
        uid: format!("00000000-0000-4000-8000-{number:012}").into(),
        created_s: 1_700_000_000,
        kind: ServiceKind::ClusterIp,
        cluster_ips: vec![cluster_ip(number)],
        ports: vec![ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: 0,
        }],
        internal_policy: Policy::Cluster,
        external_policy: Policy::Cluster,
        affinity: Affinity::None,
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: None,
        health_check_node_port: 0,
        proxy_name: None,
        headless: false,
    }))
}

fn name(number: u32) -> Name {
    Name::new(
        &format!("namespace-{}", number % 100),
        &format!("service-{number}"),
    )
}

fn cluster_ip(number: u32) -> IpAddr {
    let first = u32::from(Ipv4Addr::new(172, 16, 0, 1));
    Ipv4Addr::from(first + number).into()
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
