// SPDX-License-Identifier: MIT OR Apache-2.0
//! The endpoints of one port: the union over all slices, each address and port once.

use std::{collections::BTreeMap, net::IpAddr};

use lb_common::wire::BackendState;

use super::{BackendKey, Fault, IpFamily, Problems, address};
use crate::model::{
    Endpoint, EndpointSlice, Kind, NodeFacts, ServiceObject, ServicePort, SlicePort,
};

/// Endpoints by what they are to a client.
pub(super) type Endpoints<'a> = BTreeMap<BackendKey, &'a Endpoint>;

/// The endpoints that serve `port` in `family`.
pub(super) fn of<'a>(
    service: &ServiceObject,
    port: &ServicePort,
    family: IpFamily,
    slices: &[&'a EndpointSlice],
    node: &NodeFacts,
    problems: &mut Problems,
) -> Endpoints<'a> {
    let mut union = Endpoints::new();
    for slice in slices {
        // Each slice resolves named target ports for its own endpoints.
        for slice_port in slice.ports.iter().filter(|known| matches(known, port)) {
            if slice_port.port == 0 {
                let port = slice_port.name.to_string();
                problems.add(
                    Kind::EndpointSlice,
                    &slice.name,
                    Fault::SlicePortZero { port },
                );
                continue;
            }
            for endpoint in &slice.endpoints {
                let address = endpoint.address;
                if IpFamily::of(address) != family {
                    continue;
                }
                if let Some(what) = refused(service, address) {
                    let fault = Fault::Endpoint { address, what };
                    problems.add(Kind::EndpointSlice, &slice.name, fault);
                    continue;
                }
                let key = BackendKey {
                    address,
                    port: slice_port.port,
                    protocol: slice_port.protocol.number(),
                };
                let known = union.entry(key).or_insert(endpoint);
                if rank(endpoint, node) > rank(known, node) {
                    *known = endpoint;
                }
            }
        }
    }
    union
}

/// In which state each backend is written.
///
/// An endpoint that has slots is active, terminating or not. One that has none takes no new flows;
/// it keeps its old ones while it serves: policies and hints move new flows, never old ones.
pub(super) fn states(
    endpoints: &Endpoints<'_>,
    chosen: &[BackendKey],
) -> BTreeMap<BackendKey, BackendState> {
    let state = |key: &BackendKey, endpoint: &Endpoint| {
        if chosen.binary_search(key).is_ok() {
            BackendState::Active
        } else if endpoint.ready || endpoint.serving {
            BackendState::Draining
        } else {
            BackendState::Quiet
        }
    };
    let states = endpoints.iter();
    states
        .map(|(key, endpoint)| (*key, state(key, endpoint)))
        .collect()
}

fn matches(slice_port: &SlicePort, port: &ServicePort) -> bool {
    slice_port.name == port.name && slice_port.protocol == port.protocol
}

fn refused(service: &ServiceObject, address: IpAddr) -> Option<&'static str> {
    let own = [
        &service.cluster_ips,
        &service.external_ips,
        &service.load_balancer_ips,
    ];
    let own = own.iter().any(|addresses| addresses.contains(&address));
    address::refused(address).or(own.then_some("the Service's own address"))
}

/// Which of two entries for one address and port counts, whatever order they come in: the one that
/// serves better, then the one nearer; the rest only makes the order total.
fn rank<'a>(endpoint: &'a Endpoint, node: &NodeFacts) -> impl Ord + use<'a> {
    (
        endpoint.ready,
        endpoint.serving,
        !endpoint.terminating,
        endpoint.node.as_ref() == Some(&node.name),
        (&endpoint.hint_nodes, &endpoint.hint_zones),
    )
}
