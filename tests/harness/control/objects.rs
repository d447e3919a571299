// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plainest objects there are, of which a test says what is different.

use lb_userspace::model::{
    Affinity, Endpoint, EndpointSlice, Name, Policy, Protocol, ServiceKind, ServiceObject,
    ServicePort, SlicePort,
};
use std::{net::IpAddr, sync::Arc};

/// A Service with one Cluster-IP and the port `http`, 80.
pub fn service(name: Name, address: IpAddr) -> ServiceObject {
    ServiceObject {
        name,
        uid: "".into(),
        created_s: 0,
        kind: ServiceKind::ClusterIp,
        cluster_ips: vec![address],
        ports: vec![ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: 0,
        }],
        internal_policy: Policy::Cluster,
        external_policy: Policy::Cluster,
        affinity: Affinity::None,
        forwarding: None,
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: None,
        health_check_node_port: 0,
        proxy_name: None,
        headless: false,
        external_name: None,
    }
}

/// An endpoint that is ready, on no node that anybody knows.
pub fn endpoint(address: IpAddr) -> Endpoint {
    Endpoint {
        address,
        ready: true,
        serving: true,
        terminating: false,
        hostname: None,
        place: Arc::default(),
    }
}

/// A slice of a Service in the slice's namespace, with the port `http`, 8080.
pub fn slice(name: Name, service: &str, endpoints: Vec<Endpoint>) -> EndpointSlice {
    EndpointSlice {
        name,
        service: service.into(),
        endpoints,
        ports: vec![SlicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 8_080,
        }],
        proxy_name: None,
        headless: false,
        triggered_ns: None,
    }
}
