// SPDX-License-Identifier: MIT OR Apache-2.0
//! The endpoints of one port: the union over all slices, each address and port once.

use std::collections::BTreeMap;

use lb_common::wire::BackendState;

use super::{BackendKey, Backends, Fault, IpFamily, Problems, Surroundings, address};
use crate::model::{
    Endpoint, EndpointSlice, Kind, NodeFacts, ServiceKind, ServiceObject, ServicePort, SlicePort,
};

/// Endpoints by what they are to a client.
pub(super) type Endpoints<'a> = BTreeMap<BackendKey, &'a Endpoint>;

/// Those slices that a proxy has anything to do with. The labels may be on a slice alone:
/// whoever writes slices by hand keeps proxies away from one so.
pub(super) fn ours<'a>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
) -> Vec<&'a EndpointSlice> {
    let slices = slices.into_iter();
    slices
        .filter(|slice| !slice.headless && slice.proxy_name.is_none())
        .collect()
}

/// The endpoints that serve `port` in `family`.
pub(super) fn of<'a>(
    service: &ServiceObject,
    port: &ServicePort,
    family: IpFamily,
    slices: &[&'a EndpointSlice],
    around: Surroundings<'_>,
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
                if IpFamily::of(endpoint.address) != family {
                    continue;
                }
                if let Some(fault) = refused(service, endpoint, around) {
                    problems.add(Kind::EndpointSlice, &slice.name, fault);
                    continue;
                }
                let key = BackendKey {
                    address: endpoint.address,
                    port: slice_port.port,
                    protocol: slice_port.protocol.number(),
                };
                let known = union.entry(key).or_insert(endpoint);
                if rank(endpoint, around.node) > rank(known, around.node) {
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
pub(super) fn states(endpoints: &Endpoints<'_>, chosen: &[BackendKey]) -> Backends {
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

/// What is wrong with an endpoint, or nothing.
///
/// An address of a node is as good as a pod's: pods on the host's network have it, and so have the
/// endpoints of the API server, whose slice does not even say on which node they are.
fn refused(
    service: &ServiceObject,
    endpoint: &Endpoint,
    around: Surroundings<'_>,
) -> Option<Fault> {
    let address = endpoint.address;
    if let Some(what) = address::refused(address) {
        return Some(Fault::Endpoint { address, what });
    }
    if is_own(service, endpoint) {
        let what = "the Service's own address";
        return Some(Fault::Endpoint { address, what });
    }
    let owner = (around.service_at)(address)?;
    Some(Fault::EndpointOfService { address, owner })
}

/// Balancers may lend nodes' addresses to Services, whose pods may be on the network of such a
/// node; but then the endpoint says on which.
fn is_own(service: &ServiceObject, endpoint: &Endpoint) -> bool {
    let address = endpoint.address;
    let mut lent = Vec::new();
    if endpoint.place.node.is_none() {
        lent.extend(&service.external_ips);
        if service.kind == ServiceKind::LoadBalancer {
            lent.extend(&service.load_balancer_ips);
        }
    }
    service.cluster_ips.contains(&address) || lent.contains(&address)
}

/// Which of two entries for one address and port counts, whatever order they come in: the one that
/// serves better, then the one nearer; the rest only makes the order total.
fn rank<'a>(endpoint: &'a Endpoint, node: &NodeFacts) -> impl Ord + use<'a> {
    (
        endpoint.ready,
        endpoint.serving,
        !endpoint.terminating,
        endpoint.is_on(node),
        (&endpoint.place.hint_nodes, &endpoint.place.hint_zones),
    )
}
