// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who is meant, and where it serves. Pure.

use super::BadRequest;
use crate::{
    model::{Name, Protocol, ServicePort, World},
    watch::snapshot::{PodFacts, Snapshot},
};
use std::{collections::BTreeMap, fmt, net::SocketAddr};

/// Whose ports are forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// This Pod.
    Pod(Name),
    /// A Pod behind this Service.
    Service(Name),
    /// A Pod of this namespace with these labels.
    Labels(String, BTreeMap<String, String>),
}

impl Meant {
    /// `POD`, `pod/POD`, `svc/NAME` or `service/NAME`.
    pub fn named(namespace: &str, text: &str) -> Result<Self, BadRequest> {
        Ok(match text.split_once('/') {
            None => Self::Pod(Name::new(namespace, text)),
            Some(("pod" | "pods" | "po", name)) => Self::Pod(Name::new(namespace, name)),
            Some(("svc" | "service" | "services", name)) => {
                Self::Service(Name::new(namespace, name))
            }
            Some(_) => return Err(BadRequest::Kind(text.to_owned())),
        })
    }

    /// `key=value`, with commas between.
    pub fn labelled(namespace: &str, selector: &str) -> Result<Self, BadRequest> {
        let pairs = selector.split(',').map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let value = value.strip_prefix('=').unwrap_or(value);
            Some((key.trim().to_owned(), value.trim().to_owned()))
        });
        let labels = pairs.collect::<Option<_>>();
        let labels = labels.ok_or_else(|| BadRequest::Selector(selector.to_owned()))?;
        Ok(Self::Labels(namespace.to_owned(), labels))
    }
}

impl fmt::Display for Meant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => write!(f, "pod {name}"),
            Self::Service(name) => write!(f, "service {name}"),
            Self::Labels(namespace, labels) => {
                let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
                let pairs = pairs.collect::<Vec<_>>().join(",");
                write!(f, "pods {pairs} in {namespace}")
            }
        }
    }
}

/// A Pod, and where it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The Pod; none: an endpoint that no Pod is.
    pub pod: Option<Name>,
    /// Its address and port.
    pub address: SocketAddr,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pod {
            Some(pod) => write!(f, "pod {pod} at {}", self.address),
            None => write!(f, "endpoint {}", self.address),
        }
    }
}

/// Who may serve a port, in order.
pub(super) fn candidates(meant: &Meant, port: u16, snapshot: &Snapshot) -> Vec<Chosen> {
    let ready = |pod: &&PodFacts| pod.ready;
    match meant {
        Meant::Service(name) => behind(name, port, snapshot),
        // Somebody who names a Pod wants to see it, ready or not.
        Meant::Pod(name) => at(snapshot.pods.iter().filter(|pod| pod.name == *name), port),
        Meant::Labels(namespace, labels) => {
            let pods = snapshot.pods.iter().filter(ready);
            at(pods.filter(|pod| has_labels(pod, namespace, labels)), port)
        }
    }
}

/// Whether a Pod is one of a namespace with these labels.
pub(super) fn has_labels(
    pod: &PodFacts,
    namespace: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let has = |(key, value)| pod.labels.get(key) == Some(value);
    *pod.name.namespace == *namespace && labels.iter().all(has)
}

/// What there is besides Pods.
pub(super) fn world(snapshot: &Snapshot) -> World {
    let mut world = World::new("");
    for change in snapshot.changes.clone() {
        world.apply(change);
    }
    world
}

fn at<'a>(pods: impl Iterator<Item = &'a PodFacts>, port: u16) -> Vec<Chosen> {
    let chosen = pods.filter_map(|pod| {
        Some(Chosen {
            pod: Some(pod.name.clone()),
            address: SocketAddr::new(*pod.addresses.first()?, port),
        })
    });
    chosen.collect()
}

fn behind(name: &Name, port: u16, snapshot: &Snapshot) -> Vec<Chosen> {
    let world = world(snapshot);
    let ports = world
        .service(name)
        .map_or(&[][..], |service| &service.ports);
    let is_it = |it: &&ServicePort| it.port == port && it.protocol == Protocol::Tcp;
    let wanted = ports.iter().find(is_it);
    let mut found = Vec::new();
    for slice in world.slices(name) {
        let serving = slice.ports.iter().find(|it| {
            wanted.is_some_and(|wanted| it.name == wanted.name && it.protocol == wanted.protocol)
        });
        let Some(serving) = serving else { continue };
        for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.ready) {
            let has = |pod: &&PodFacts| pod.addresses.contains(&endpoint.address);
            found.push(Chosen {
                pod: snapshot.pods.iter().find(has).map(|pod| pod.name.clone()),
                address: SocketAddr::new(endpoint.address, serving.port),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{port_forward::nobody::why, watch::standalone::snapshot};
    use std::fs;

    const MANIFESTS: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: 10.96.0.1
  selector: {app: web}
  ports:
    - {name: dns, port: 53, protocol: UDP}
    - {name: http, port: 80, targetPort: 8080}
    - {name: other, port: 81, targetPort: none}
---
apiVersion: v1
kind: Service
metadata: {name: alone}
spec: {clusterIP: 10.96.0.2, selector: {app: alone}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web, tier: a}}
status: {podIP: 10.1.0.1, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, labels: {app: web, tier: b}}
status: {podIP: 10.1.0.2, conditions: [{type: Ready, status: 'False'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-3, labels: {app: web}}
status: {podIP: 10.1.0.3, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-4}
";

    fn snapshot_of(manifests: &str) -> Snapshot {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("all.yaml"), manifests).unwrap();
        snapshot::read(vec![folder.path().to_owned()])
    }

    #[test]
    fn each_mistake_is_told_apart() {
        let snapshot = snapshot_of(MANIFESTS);
        let labelled = |text| Meant::labelled("default", text).unwrap();
        let named = |text| Meant::named("default", text).unwrap();
        for (meant, port, expected) in [
            (named("svc/none"), 80, "there is no Service default/none"),
            (named("svc/web"), 53, "has no TCP port 53; it has 80, 81"),
            (named("svc/web"), 81, "none of them is ready"),
            (named("svc/alone"), 80, "none of them is ready"),
            (named("web"), 80, "write svc/web for it"),
            (named("none"), 80, "there is no Pod default/none"),
            (named("web-4"), 80, "has no address yet"),
            (labelled("app=none"), 80, "there are no pods app=none"),
            (labelled("tier=b"), 80, "none of them is ready"),
        ] {
            assert_eq!(candidates(&meant, port, &snapshot), [], "{meant}");
            let said = why(&meant, port, &snapshot).to_string();
            assert!(said.contains(expected), "{meant}: {said}");
        }
    }

    #[test]
    fn who_serves() {
        let snapshot = snapshot_of(MANIFESTS);
        let labelled = |text| Meant::labelled("default", text).unwrap();
        let named = |text| Meant::named("default", text).unwrap();
        for (meant, port, expected) in [
            (named("svc/web"), 80, "10.1.0.1:8080 10.1.0.3:8080"),
            (named("svc/web"), 8080, ""),
            (named("svc/none"), 80, ""),
            (named("web-2"), 8080, "10.1.0.2:8080"),
            (named("pod/web-1"), 9, "10.1.0.1:9"),
            (Meant::named("other", "web-1").unwrap(), 9, ""),
            (labelled("app=web"), 8080, "10.1.0.1:8080 10.1.0.3:8080"),
            (labelled("app=web,tier==a"), 8080, "10.1.0.1:8080"),
            (labelled("app=none"), 8080, ""),
        ] {
            let found = candidates(&meant, port, &snapshot);
            let found: Vec<_> = found.iter().map(|it| it.address.to_string()).collect();
            assert_eq!(found.join(" "), expected, "{meant}");
        }
        assert!(Meant::labelled("default", "app").is_err());
    }
}
