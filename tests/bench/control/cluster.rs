// SPDX-License-Identifier: MIT OR Apache-2.0
//! A cluster as large as one likes, as the API server tells of it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use lb_userspace::model::{Change, Endpoint, Kind, Name, NodeObject, Place, ServiceObject};
use tests::control::objects;

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
        Change::Slice(Arc::new(objects::slice(slice, &of.name, endpoints)))
    }
}

fn service(number: u32) -> Change {
    Change::Service(Arc::new(ServiceObject {
        uid: format!("00000000-0000-4000-8000-{number:012}").into(),
        created_s: 1_700_000_000,
        ..objects::service(name(number), cluster_ip(number))
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
