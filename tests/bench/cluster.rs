// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cluster as large as one likes, as the API server tells of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use lb_userspace::model::{
    Change, Endpoint, Kind, Name, NodeObject, Place, Protocol, ServiceObject, ServicePort,
    SlicePort,
};
use tests::control::objects;

/// Endpoints of one slice at most: the controller's default.
const SLICE: u32 = 100;

/// The node that all is seen from.
pub(crate) const NODE: &str = "node-0";

/// Services with as many endpoints each.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) services: u32,
    pub(crate) endpoints: u32,
    /// Which pod is behind each Service at each place; a number makes an address.
    pods: Vec<u32>,
    changes: u32,
    /// The Service that has a port for UDP as well.
    both: Option<u32>,
}

impl Cluster {
    pub(crate) fn new(services: u32, endpoints: u32) -> Self {
        Self {
            services,
            endpoints,
            pods: (1..=services * endpoints).collect(),
            changes: 0,
            both: None,
        }
    }

    /// The same, with one Service that serves UDP at the port where it serves TCP.
    pub(crate) fn with_udp(self, service: u32) -> Self {
        let both = Some(service);
        Self { both, ..self }
    }

    /// How many endpoints there are.
    pub(crate) fn pods(&self) -> u32 {
        self.services * self.endpoints
    }

    /// The complete lists of all kinds.
    pub(crate) fn listing(&self) -> impl Iterator<Item = Change> {
        let kinds = [Kind::Service, Kind::EndpointSlice, Kind::Node];
        let begin = kinds.into_iter().map(Change::Listing);
        let end = kinds.into_iter().map(Change::Listed);
        begin.chain(self.objects()).chain(end)
    }

    /// All objects.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Change> {
        let node = Change::Node(Arc::new(NodeObject {
            name: NODE.into(),
            addresses: vec![Ipv4Addr::new(192, 0, 2, 1).into()],
            zone: Some("zone-0".into()),
            leaving: false,
        }));
        let services = (0..self.services).map(|number| self.service(number));
        let slices = (0..self.services).flat_map(move |service| {
            let numbers = 0..self.endpoints.div_ceil(SLICE);
            numbers.map(move |number| self.slice(service, number))
        });
        [node].into_iter().chain(services).chain(slices)
    }

    /// One pod of one Service is replaced by another one; each time it is another Service's turn.
    pub(crate) fn replace_pod(&mut self) -> Change {
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
                place: Arc::new(Place {
                    node: Some(format!("node-{}", pod % 100).into()),
                    zone: Some(format!("zone-{}", pod % 100 % 3).into()),
                    ..Place::default()
                }),
                ..objects::endpoint(Ipv4Addr::new(10, a, b, c).into())
            }
        };
        let of = name(service);
        let slice = Name::new(&of.namespace, &format!("{}-{number:05}", of.name));
        let endpoints = places.map(endpoint).collect();
        let mut slice = objects::slice(slice, &of.name, endpoints);
        if self.both == Some(service) {
            let udp = slice.ports.iter().map(|port| SlicePort {
                name: UDP.into(),
                protocol: Protocol::Udp,
                ..port.clone()
            });
            let udp: Vec<_> = udp.collect();
            slice.ports.extend(udp);
        }
        Change::Slice(Arc::new(slice))
    }

    fn service(&self, number: u32) -> Change {
        let mut service = ServiceObject {
            uid: format!("00000000-0000-4000-8000-{number:012}").into(),
            created_s: 1_700_000_000,
            ..objects::service(name(number), cluster_ip(number))
        };
        if self.both == Some(number) {
            let udp = service.ports.iter().map(|port| ServicePort {
                name: UDP.into(),
                protocol: Protocol::Udp,
                ..port.clone()
            });
            let udp: Vec<_> = udp.collect();
            service.ports.extend(udp);
        }
        Change::Service(Arc::new(service))
    }
}

/// What the port for UDP is called.
const UDP: &str = "datagrams";

pub(crate) fn name(number: u32) -> Name {
    Name::new(
        &format!("namespace-{}", number % 100),
        &format!("service-{number}"),
    )
}

/// What clients of a Service dial.
pub(crate) fn cluster_ip(number: u32) -> IpAddr {
    let first = u32::from(Ipv4Addr::new(172, 16, 0, 1));
    Ipv4Addr::from(first + number).into()
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
