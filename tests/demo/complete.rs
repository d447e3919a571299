// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the kernel has what the manifests ask for, counted by the kubelet that the demo plays.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use tests::weiche::Frontend;

use crate::{kubelet::Kubelet, manifests::Name};

/// Whether each Service that selects Pods has all its frontends, and each of them leads to as many
/// backends as the Service selects ready Pods.
pub(crate) fn is_complete(kubelet: &Kubelet<'_>, frontends: &[Frontend]) -> bool {
    let services = kubelet.manifests().services();
    services.iter().all(|(name, service)| {
        let Some((spec, selector)) = selecting(service) else {
            return true;
        };
        let ready = ready_pods(kubelet, name, selector);
        let called = name.to_string();
        let own = frontends
            .iter()
            .filter(|frontend| frontend.object() == called);
        let complete = own.filter(|frontend| frontend.backends.len() == ready);
        complete.count() == frontend_count(spec)
    })
}

/// Whether the packets of all pods are seen: before that, what a pod sends to a Service is lost.
pub(crate) fn is_served(kubelet: &Kubelet<'_>, links: &[String]) -> bool {
    kubelet.pods().all(|(_, pod, _)| links.contains(&pod.link))
}

/// What a Service selects by; nothing for those that lead nowhere by themselves.
fn selecting(service: &Service) -> Option<(&ServiceSpec, &BTreeMap<String, String>)> {
    let spec = service.spec.as_ref()?;
    let headless = spec.cluster_ip.as_deref() == Some("None");
    let external = spec.type_.as_deref() == Some("ExternalName");
    let selector = spec
        .selector
        .as_ref()
        .filter(|selector| !selector.is_empty());
    selector
        .filter(|_| !headless && !external)
        .map(|selector| (spec, selector))
}

/// One a port and family.
fn frontend_count(spec: &ServiceSpec) -> usize {
    let policy = spec.ip_family_policy.as_deref();
    let families = match policy {
        Some("PreferDualStack" | "RequireDualStack") => 2,
        _ => 1,
    };
    spec.ports.as_ref().map_or(0, Vec::len) * families
}

fn ready_pods(kubelet: &Kubelet<'_>, service: &Name, selector: &BTreeMap<String, String>) -> usize {
    let manifests = kubelet.manifests().pods();
    let selected = kubelet.pods().filter(|(name, _, ready)| {
        let labels = manifests.get(name).map(|pod| &pod.labels);
        let has = |(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value);
        *ready && name.namespace == service.namespace && selector.iter().all(has)
    });
    selected.count()
}
