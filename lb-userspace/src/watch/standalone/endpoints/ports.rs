// SPDX-License-Identifier: MIT OR Apache-2.0
//! `targetPort`: a number, or the name of a port that each Pod resolves for itself.

use k8s_openapi::{
    api::core::v1::{ContainerPort, Pod, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::model::{Protocol, SlicePort};

/// The ports that a Pod serves for a Service, and one sentence for each that it lacks.
pub(super) fn resolve(spec: &ServiceSpec, pod: &Pod) -> (Vec<SlicePort>, Vec<String>) {
    let mut ports = Vec::new();
    let mut missing = Vec::new();
    for port in spec.ports.iter().flatten() {
        let protocol = match port.protocol.as_deref() {
            None | Some("" | "TCP") => Protocol::Tcp,
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            // The Service's own conversion says what is wrong with it.
            Some(_) => continue,
        };
        match target(port, protocol, pod) {
            Ok(number) => ports.push(SlicePort {
                name: port.name.as_deref().unwrap_or_default().into(),
                protocol,
                port: number,
            }),
            Err(reason) => missing.push(reason),
        }
    }
    (ports, missing)
}

fn target(port: &ServicePort, protocol: Protocol, pod: &Pod) -> Result<u16, String> {
    let number = match &port.target_port {
        // Absent and 0 mean: the same as `port` (API defaults).
        None | Some(IntOrString::Int(0)) => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) if name.is_empty() => port.port,
        Some(IntOrString::String(name)) => named(name, protocol, pod).ok_or_else(|| {
            format!(
                "none of its containers has a {} port named {name:?}",
                protocol.name()
            )
        })?,
    };
    let valid = u16::try_from(number).ok().filter(|number| *number != 0);
    valid.ok_or_else(|| format!("target port {number} is not in 1-65535"))
}

fn named(name: &str, protocol: Protocol, pod: &Pod) -> Option<i32> {
    let spec = pod.spec.as_ref()?;
    let containers = spec.containers.iter();
    // Sidecars are init containers that go on running (KEP-753), and may serve.
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|it| it.restart_policy.as_deref() == Some("Always"));
    let mut ports = containers
        .chain(sidecars)
        .flat_map(|it| it.ports.iter().flatten());
    let is_it = |port: &&ContainerPort| {
        let of_protocol = port.protocol.as_deref().unwrap_or("TCP") == protocol.name();
        of_protocol && port.name.as_deref() == Some(name)
    };
    ports.find(is_it).map(|port| port.container_port)
}
