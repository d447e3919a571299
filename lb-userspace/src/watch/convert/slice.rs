// SPDX-License-Identifier: MIT OR Apache-2.0
//! `EndpointSlices`: the nil rules of conditions, names and ports.

use std::sync::Arc;

use k8s_openapi::{
    api::discovery::v1::{
        Endpoint as KubeEndpoint, EndpointConditions, EndpointPort, EndpointSlice as KubeSlice,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::Timestamp,
};

use super::{HEADLESS, PROXY_NAME, kept, label, name, parse_address, port_number, protocol};
use crate::model::{Endpoint, EndpointSlice, Place, SlicePort};

/// The label that says which Service a slice belongs to.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// When the change happened that a slice is the answer to.
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// A slice as we see it; `None` when it has no name, belongs to no Service, or lists host names.
pub fn slice(object: &KubeSlice, ignored: &mut Vec<String>) -> Option<EndpointSlice> {
    let service = label(&object.metadata, SERVICE_NAME).filter(|name| !name.is_empty())?;
    let ipv6 = match object.address_type.as_str() {
        "IPv4" => false,
        "IPv6" => true,
        // The API defines no meaning for the addresses of other types, FQDN among them.
        other => {
            ignored.push(format!("addressType {other:?} is not IPv4 or IPv6"));
            return None;
        }
    };
    let endpoints = object.endpoints.iter().flatten();
    let ports = object.ports.iter().flatten();
    let endpoints = kept(endpoints.filter_map(|it| endpoint(it, ipv6, ignored)));
    Some(EndpointSlice {
        name: name(&object.metadata)?,
        service: service.into(),
        endpoints,
        ports: kept(ports.filter_map(|port| slice_port(port, ignored))),
        proxy_name: label(&object.metadata, PROXY_NAME).map(Arc::from),
        headless: label(&object.metadata, HEADLESS).is_some(),
        triggered_ns: triggered_ns(&object.metadata),
    })
}

/// What does not parse is no news of ours to tell: the figure is for people, and nothing depends
/// on it.
fn triggered_ns(metadata: &ObjectMeta) -> Option<u64> {
    let text = metadata.annotations.as_ref()?.get(TRIGGER_TIME)?;
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok()
}

fn endpoint(object: &KubeEndpoint, ipv6: bool, ignored: &mut Vec<String>) -> Option<Endpoint> {
    let Some(text) = object.addresses.first() else {
        ignored.push("an endpoint has no address".to_owned());
        return None;
    };
    let Some(address) = parse_address(text).filter(|address| address.is_ipv6() == ipv6) else {
        let family = if ipv6 { "IPv6" } else { "IPv4" };
        ignored.push(format!("endpoint {text:?} is not an {family} address"));
        return None;
    };
    let nothing = EndpointConditions::default();
    let conditions = object.conditions.as_ref().unwrap_or(&nothing);
    let hints = object.hints.as_ref();
    let zones = hints
        .into_iter()
        .flat_map(|it| it.for_zones.iter().flatten());
    let nodes = hints
        .into_iter()
        .flat_map(|it| it.for_nodes.iter().flatten());
    Some(Endpoint {
        address,
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
        hostname: object.hostname.as_deref().map(Arc::from),
        place: Arc::new(Place {
            node: object.node_name.as_deref().map(Arc::from),
            zone: object.zone.as_deref().map(Arc::from),
            hint_nodes: nodes.map(|node| Arc::from(node.name.as_str())).collect(),
            hint_zones: zones.map(|zone| Arc::from(zone.name.as_str())).collect(),
        }),
    })
}

/// A port without a name or a number ("all ports") is nothing that a proxy can serve.
fn slice_port(port: &EndpointPort, ignored: &mut Vec<String>) -> Option<SlicePort> {
    let Some(name) = port.name.as_deref() else {
        ignored.push("a port has no name".to_owned());
        return None;
    };
    let Some(number) = port.port.and_then(port_number) else {
        ignored.push(format!("port {name:?} has no number in 1-65535"));
        return None;
    };
    Some(SlicePort {
        name: name.into(),
        protocol: protocol(port.protocol.as_deref(), ignored)?,
        port: number,
    })
}
