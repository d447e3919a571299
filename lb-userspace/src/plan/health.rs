// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a load balancer may ask this node about a Service: whether it serves it here.

use std::{collections::BTreeSet, net::IpAddr};

use super::address;
use crate::model::{EndpointSlice, NodeFacts, Policy, ServiceKind, ServiceObject};

/// The answer for a `healthCheckNodePort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The port on the node.
    pub port: u16,
    /// Endpoints on this node that are ready; none: load balancers shall stay away. Those that
    /// are terminating serve who comes nevertheless, and do not count here: so a node empties
    /// before its last pod goes (KEP-1669).
    pub local_ready: usize,
}

/// What there is to ask; nothing for Services whose traffic may enter at any node.
pub(super) fn check(
    service: &ServiceObject,
    slices: &[&EndpointSlice],
    node: &NodeFacts,
) -> Option<HealthCheck> {
    let asked = service.kind == ServiceKind::LoadBalancer
        && service.external_policy == Policy::Local
        && service.health_check_node_port != 0;
    // An endpoint that serves several ports, or is in several slices, is one.
    let local_ready = || -> BTreeSet<IpAddr> {
        let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
        let here = endpoints.filter(|endpoint| endpoint.is_on(node));
        let ready = here.filter(|endpoint| endpoint.ready);
        let addresses = ready.map(|endpoint| endpoint.address);
        addresses
            .filter(|address| address::refused(*address).is_none())
            .collect()
    };
    asked.then(|| HealthCheck {
        port: service.health_check_node_port,
        local_ready: local_ready().len(),
    })
}
