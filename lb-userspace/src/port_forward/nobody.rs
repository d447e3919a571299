// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why nobody serves: each mistake is told apart, with what to do. Pure.

use super::{Meant, choose};
use crate::{
    model::{Name, Protocol},
    watch::snapshot::Snapshot,
};

/// Nothing would be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nobody {
    /// No such Service.
    #[error("there is no Service {0}: look at its name, and at --namespace")]
    NoService(Name),
    /// No such Pod, but such a Service.
    #[error("there is no Pod {0}, but a Service: write svc/{name} for it", name = .0.name)]
    IsService(Name),
    /// No such Pod.
    #[error("there is no Pod {0}: look at its name, and at --namespace")]
    NoPod(Name),
    /// No Pod with such labels.
    #[error("there are no {0}: look at the labels, and at --namespace")]
    NoLabelled(String),
    /// Another port.
    #[error("service {service} has no TCP port {port}; it has {ports}")]
    NoPort {
        /// Whose.
        service: Name,
        /// What was asked for.
        port: u16,
        /// What there is.
        ports: String,
    },
    /// They are there, and none can serve.
    #[error("{0}: none of them is ready now")]
    NoneReady(String),
    /// It is about to start.
    #[error("pod {0} has no address yet")]
    NoAddress(Name),
}

/// Why nobody can serve a port.
pub(super) fn why(meant: &Meant, port: u16, snapshot: &Snapshot) -> Nobody {
    let world = choose::world(snapshot);
    match meant {
        Meant::Service(name) => {
            let Some(service) = world.service(name) else {
                return Nobody::NoService(name.clone());
            };
            let of_tcp = service.ports.iter();
            let of_tcp = of_tcp.filter(|it| it.protocol == Protocol::Tcp);
            let ports: Vec<u16> = of_tcp.map(|it| it.port).collect();
            if ports.contains(&port) {
                return Nobody::NoneReady(format!("endpoints of {meant}"));
            }
            let words: Vec<String> = ports.iter().map(ToString::to_string).collect();
            let ports = if words.is_empty() {
                "none".to_owned()
            } else {
                words.join(", ")
            };
            let service = name.clone();
            Nobody::NoPort {
                service,
                port,
                ports,
            }
        }
        Meant::Pod(name) if snapshot.pods.iter().any(|pod| pod.name == *name) => {
            Nobody::NoAddress(name.clone())
        }
        Meant::Pod(name) if world.service(name).is_some() => Nobody::IsService(name.clone()),
        Meant::Pod(name) => Nobody::NoPod(name.clone()),
        Meant::Labels(namespace, labels) => {
            let mut pods = snapshot.pods.iter();
            if pods.any(|pod| choose::has_labels(pod, namespace, labels)) {
                Nobody::NoneReady(meant.to_string())
            } else {
                Nobody::NoLabelled(meant.to_string())
            }
        }
    }
}
