// SPDX-License-Identifier: MIT OR Apache-2.0
//! From Kubernetes' types to ours: what of an object counts, and what of it is ignored.
//!
//! Both modes go through here, so a manifest and the same object in a cluster mean the same. The
//! functions are pure. They never fail as a whole: a part that makes no sense is left out and said
//! in `ignored`, one sentence each, and the rest of the object counts. This module does not know
//! where an object came from, nor what a Service does with its endpoints.

mod address;
mod balancer;
mod forwarding;
mod slice;

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::{
    api::core::v1::{Node, Service, ServicePort as KubePort, ServiceSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

pub use self::{
    address::parse_address,
    slice::{SERVICE_NAME, slice},
};
use crate::model::{
    Affinity, Name, NodeObject, Policy, Protocol, ServiceKind, ServiceObject, ServicePort,
};

/// Kubernetes' default and bounds of `sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_S: i32 = 10_800;
const AFFINITY_MAX_S: i32 = 86_400;

/// The label that keeps every proxy away from a Service.
const HEADLESS: &str = "service.kubernetes.io/headless";
/// The label that hands a Service to the proxy it names.
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
const ZONE: &str = "topology.kubernetes.io/zone";
/// What the cluster autoscaler puts on a node that it is about to delete (KEP-3836).
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// A Service as we see it; `None` when it has no name.
pub fn service(object: &Service, ignored: &mut Vec<String>) -> Option<ServiceObject> {
    let nothing = ServiceSpec::default();
    let spec = object.spec.as_ref().unwrap_or(&nothing);
    let kind = service_kind(spec, ignored);
    let (cluster_ips, none) = cluster_ips(spec, ignored);
    let ports = spec.ports.iter().flatten();
    Some(ServiceObject {
        name: name(&object.metadata)?,
        uid: object.metadata.uid.as_deref().unwrap_or_default().into(),
        created_s: created_s(&object.metadata),
        kind,
        // The API refuses a `clusterIP` beside `ExternalName`; manifests have no such guard.
        cluster_ips: if kind == ServiceKind::ExternalName {
            Vec::new()
        } else {
            cluster_ips
        },
        ports: kept(ports.filter_map(|port| service_port(port, ignored))),
        internal_policy: policy(
            "internalTrafficPolicy",
            spec.internal_traffic_policy.as_ref(),
            ignored,
        ),
        external_policy: policy(
            "externalTrafficPolicy",
            spec.external_traffic_policy.as_ref(),
            ignored,
        ),
        affinity: affinity(spec, ignored),
        forwarding: forwarding::wanted(&object.metadata, ignored),
        external_ips: addresses("externalIPs", spec.external_ips.iter().flatten(), ignored),
        load_balancer_ips: balancer::ips(object, ignored),
        source_ranges: balancer::source_ranges(spec, ignored),
        health_check_node_port: balancer::health_check_node_port(spec, ignored),
        proxy_name: label(&object.metadata, PROXY_NAME).map(Arc::from),
        headless: none || label(&object.metadata, HEADLESS).is_some(),
        external_name: external_name(kind, spec),
    })
}

/// A Node as we see it; `None` when it has no name.
pub fn node(object: &Node, ignored: &mut Vec<String>) -> Option<NodeObject> {
    let listed = object
        .status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten());
    let of_type = |kind: &'static str| {
        listed
            .clone()
            .filter(move |address| address.type_ == kind)
            .map(|address| &address.address)
    };
    let wanted = of_type("InternalIP").chain(of_type("ExternalIP"));
    Some(NodeObject {
        name: object.metadata.name.as_deref()?.into(),
        addresses: addresses("status.addresses", wanted, ignored),
        zone: label(&object.metadata, ZONE).map(Arc::from),
        leaving: leaving(object),
    })
}

fn leaving(object: &Node) -> bool {
    let spec = object.spec.as_ref();
    let mut taints = spec.into_iter().flat_map(|it| it.taints.iter().flatten());
    object.metadata.deletion_timestamp.is_some() || taints.any(|taint| taint.key == TO_BE_DELETED)
}

/// Namespace and name; an object without a namespace is in `default`, as for `kubectl`.
pub fn name(metadata: &ObjectMeta) -> Option<Name> {
    let namespace = metadata.namespace.as_deref().unwrap_or("default");
    Some(Name::new(namespace, metadata.name.as_deref()?))
}

fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn created_s(metadata: &ObjectMeta) -> i64 {
    let created = metadata.creation_timestamp.as_ref();
    created.map_or(0, |time| time.0.as_second())
}

fn service_kind(spec: &ServiceSpec, ignored: &mut Vec<String>) -> ServiceKind {
    match spec.type_.as_deref() {
        None | Some("" | "ClusterIP") => ServiceKind::ClusterIp,
        Some("NodePort") => ServiceKind::NodePort,
        Some("LoadBalancer") => ServiceKind::LoadBalancer,
        Some("ExternalName") => ServiceKind::ExternalName,
        Some(other) => {
            ignored.push(format!("spec.type {other:?} is unknown; ClusterIP is used"));
            ServiceKind::ClusterIp
        }
    }
}

/// Services of other types may carry one over from the time when they were of this type.
fn external_name(kind: ServiceKind, spec: &ServiceSpec) -> Option<Arc<str>> {
    let given = spec.external_name.as_deref();
    let given = given.filter(|name| kind == ServiceKind::ExternalName && !name.is_empty());
    given.map(Arc::from)
}

/// The addresses, and whether the Service says `None` (headless).
fn cluster_ips(spec: &ServiceSpec, ignored: &mut Vec<String>) -> (Vec<IpAddr>, bool) {
    // `clusterIPs` names the first address again, so `clusterIP` counts only without it.
    let listed = spec.cluster_ips.as_ref().filter(|list| !list.is_empty());
    let texts: Vec<&String> = match listed {
        Some(list) => list.iter().collect(),
        None => spec.cluster_ip.iter().collect(),
    };
    let none = texts.iter().any(|text| text.as_str() == "None");
    if none {
        return (Vec::new(), true);
    }
    let given = texts.into_iter().filter(|text| !text.is_empty());
    (addresses("clusterIPs", given, ignored), false)
}

fn service_port(port: &KubePort, ignored: &mut Vec<String>) -> Option<ServicePort> {
    let name = port.name.as_deref().unwrap_or_default();
    let protocol = protocol(port.protocol.as_deref(), ignored)?;
    let Some(number) = port_number(port.port) else {
        ignored.push(format!("port {} is not in 1-65535", port.port));
        return None;
    };
    let node_port = port.node_port.unwrap_or(0);
    let node_port = match u16::try_from(node_port) {
        Ok(node_port) => node_port,
        Err(error) => {
            ignored.push(format!("nodePort {node_port} of {name:?}: {error}"));
            0
        }
    };
    Some(ServicePort {
        name: name.into(),
        protocol,
        port: number,
        node_port,
    })
}

fn policy(field: &str, value: Option<&String>, ignored: &mut Vec<String>) -> Policy {
    match value.map(String::as_str) {
        None | Some("" | "Cluster") => Policy::Cluster,
        Some("Local") => Policy::Local,
        Some(other) => {
            ignored.push(format!("{field} {other:?} is unknown; Cluster is used"));
            Policy::Cluster
        }
    }
}

fn affinity(spec: &ServiceSpec, ignored: &mut Vec<String>) -> Affinity {
    match spec.session_affinity.as_deref() {
        None | Some("" | "None") => return Affinity::None,
        Some("ClientIP") => {}
        Some(other) => {
            ignored.push(format!(
                "sessionAffinity {other:?} is unknown; None is used"
            ));
            return Affinity::None;
        }
    }
    let config = spec.session_affinity_config.as_ref();
    let client_ip = config.and_then(|config| config.client_ip.as_ref());
    let asked = client_ip.and_then(|client_ip| client_ip.timeout_seconds);
    let seconds = asked.unwrap_or(AFFINITY_S);
    let valid = (1..=AFFINITY_MAX_S).contains(&seconds);
    if !valid {
        ignored.push(format!(
            "sessionAffinity timeoutSeconds {seconds} is not in 1-{AFFINITY_MAX_S}; \
             {AFFINITY_S} is used"
        ));
    }
    let seconds = if valid { seconds } else { AFFINITY_S };
    Affinity::ClientIp {
        seconds: seconds.unsigned_abs(),
    }
}

fn protocol(text: Option<&str>, ignored: &mut Vec<String>) -> Option<Protocol> {
    match text {
        None | Some("" | "TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(other) => {
            ignored.push(format!("protocol {other:?} is not TCP, UDP or SCTP"));
            None
        }
    }
}

fn port_number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}

fn addresses<'a>(
    field: &str,
    texts: impl Iterator<Item = &'a String>,
    ignored: &mut Vec<String>,
) -> Vec<IpAddr> {
    let mut parsed = Vec::new();
    for text in texts {
        match parse_address(text) {
            Some(address) if !parsed.contains(&address) => parsed.push(address),
            Some(_) => ignored.push(format!("{field} names {text} twice")),
            None => ignored.push(format!("{field} has {text:?}, which is not an IP address")),
        }
    }
    kept(parsed.into_iter())
}

/// A list without room for more: objects are kept for long, and most lists have one item.
fn kept<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = items.collect();
    list.shrink_to_fit();
    list
}

#[cfg(test)]
mod tests;
