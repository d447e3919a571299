// SPDX-License-Identifier: MIT OR Apache-2.0
//! Endpoints of Services with a selector: what the cluster's `EndpointSlice` controller does
//! there, done here.
//!
//! The rules are those of the controller (k8s.io/endpointslice, `podToEndpoint` and
//! `ShouldPodBeInEndpoints`): ready = Pod Ready and not terminating, or
//! `publishNotReadyAddresses`; serving = Pod Ready; finished Pods are left out; a named
//! `targetPort` is looked up in each Pod. Pure; knows no files.

mod own;
mod pods;
mod ports;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::{Pod, Service, ServiceSpec};

pub use self::own::OwnServer;
pub(super) use self::pods::Pods;
use super::families::Family;
use crate::{
    model::{Endpoint, EndpointSlice, Name, NodeObject, Place, SlicePort},
    watch::{convert::parse_address, status::Pending},
};

/// One Service's slices, at most one per family and set of ports; `None` when it has no selector,
/// or nothing that packets could reach. Pods that serve nothing yet are
/// added to `pending`.
///
/// `families` are the Service's: addresses of others are left out, as by the controller.
///
/// Slices are called `SERVICE-weiche-v4` and `-v6`; a Service whose Pods differ in the number of a
/// named port has further ones, called `-2` and so on.
pub(super) fn slices(
    name: &Name,
    service: &Service,
    families: &[Family],
    pods: &Pods<'_>,
    nodes: &BTreeMap<Arc<str>, Arc<NodeObject>>,
    pending: &mut Vec<Pending>,
) -> Option<Computed> {
    let spec = service.spec.as_ref().filter(|spec| selects(spec))?;
    let mut selected = 0;
    let mut groups: BTreeMap<(bool, Vec<SlicePort>), Vec<Endpoint>> = BTreeMap::new();
    for (pod_name, pod) in pods.selected(&name.namespace, spec.selector.as_ref()) {
        selected += 1;
        let mut wait = |reason: String| {
            pending.push(Pending {
                service: name.to_string(),
                pod: pod_name.to_string(),
                reason,
            });
        };
        match classify(spec, pod) {
            Stand::Finished => continue,
            Stand::Waiting(reason) => wait(reason),
            Stand::Serving => {}
        }
        let (ports, missing) = ports::resolve(spec, pod);
        missing.into_iter().for_each(&mut wait);
        // One address per family: the controller takes the first.
        let mut left = families.to_vec();
        for address in pod_addresses(pod) {
            if let Some(at) = left
                .iter()
                .position(|family| *family == Family::of(address))
            {
                left.remove(at);
                let group = groups.entry((address.is_ipv6(), ports.clone()));
                let group = group.or_default();
                group.push(endpoint(name, spec, pod, address, nodes));
            }
        }
    }
    Some(Computed {
        slices: named(name, groups),
        selected,
    })
}

/// What came out for one Service.
pub(super) struct Computed {
    pub(super) slices: Vec<EndpointSlice>,
    /// How many Pods its selector means, whatever their state.
    pub(super) selected: usize,
}

fn selects(spec: &ServiceSpec) -> bool {
    let some = spec.selector.as_ref().is_some_and(|it| !it.is_empty());
    some && spec.type_.as_deref() != Some("ExternalName")
}

enum Stand {
    /// It ran to its end: no endpoint, and nobody waits for it.
    Finished,
    /// No ready endpoint, and why.
    Waiting(String),
    Serving,
}

fn classify(spec: &ServiceSpec, pod: &Pod) -> Stand {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Stand::Finished;
    }
    if pod_addresses(pod).next().is_none() {
        return Stand::Waiting("it has no status.podIPs".to_owned());
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Stand::Waiting("it is being deleted".to_owned());
    }
    if !is_ready(pod) && spec.publish_not_ready_addresses != Some(true) {
        return Stand::Waiting("it is not Ready".to_owned());
    }
    Stand::Serving
}

pub(in crate::watch) fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.iter();
    let mut conditions = status.flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// `status.podIPs`, else `status.podIP`.
pub(in crate::watch) fn pod_addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let status = pod.status.iter();
    let texts = status.flat_map(|status| {
        let listed = status.pod_ips.iter().flatten().map(|it| it.ip.as_str());
        let single = status.pod_ip.as_deref();
        let single = single.filter(|_| status.pod_ips.as_ref().is_none_or(Vec::is_empty));
        listed.chain(single)
    });
    texts.filter_map(parse_address)
}

fn endpoint(
    service: &Name,
    spec: &ServiceSpec,
    pod: &Pod,
    address: IpAddr,
    nodes: &BTreeMap<Arc<str>, Arc<NodeObject>>,
) -> Endpoint {
    let serving = is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let publish = spec.publish_not_ready_addresses == Some(true);
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let node = node.map(Arc::<str>::from);
    let home = node.as_ref().and_then(|node| nodes.get(node));
    Endpoint {
        address,
        ready: publish || (serving && !terminating),
        serving,
        terminating,
        hostname: hostname(service, pod),
        place: Arc::new(Place {
            zone: home.and_then(|home| home.zone.clone()),
            node,
            ..Place::default()
        }),
    }
}

/// A Pod has a name below a Service's if it asks for one there: `spec.subdomain` is the Service.
fn hostname(service: &Name, pod: &Pod) -> Option<Arc<str>> {
    let spec = pod.spec.as_ref()?;
    let here = spec.subdomain.as_deref() == Some(&*service.name);
    let hostname = spec.hostname.as_deref();
    hostname
        .filter(|name| here && !name.is_empty())
        .map(Arc::from)
}

fn named(
    service: &Name,
    groups: BTreeMap<(bool, Vec<SlicePort>), Vec<Endpoint>>,
) -> Vec<EndpointSlice> {
    let mut counts = [0; 2];
    let mut slices = Vec::new();
    for ((ipv6, ports), endpoints) in groups {
        let family = if ipv6 { "v6" } else { "v4" };
        let count = &mut counts[usize::from(ipv6)];
        *count += 1;
        let name = match *count {
            1 => format!("{}-weiche-{family}", service.name),
            further => format!("{}-weiche-{family}-{further}", service.name),
        };
        slices.push(EndpointSlice {
            name: Name::new(&service.namespace, &name),
            service: service.name.clone(),
            endpoints,
            ports,
            proxy_name: None,
            headless: false,
            triggered_ns: None,
        });
    }
    slices
}

#[cfg(test)]
mod tests;
