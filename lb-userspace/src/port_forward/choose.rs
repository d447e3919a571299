// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who is meant, and where it serves. Pure.

use crate::{
    model::{Name, World},
    watch::standalone::snapshot::{PodFacts, Snapshot},
};
use std::{collections::BTreeMap, fmt, net::SocketAddr, str::FromStr};

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
    pub fn named(namespace: &str, text: &str) -> Self {
        match text.split_once('/') {
            Some(("svc" | "service" | "services", name)) => {
                Self::Service(Name::new(namespace, name))
            }
            Some(("pod" | "pods" | "po", name)) => Self::Pod(Name::new(namespace, name)),
            _ => Self::Pod(Name::new(namespace, text)),
        }
    }

    /// `key=value`, with commas between.
    pub fn labelled(namespace: &str, selector: &str) -> Option<Self> {
        let pairs = selector.split(',').map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let value = value.strip_prefix('=').unwrap_or(value);
            Some((key.trim().to_owned(), value.trim().to_owned()))
        });
        Some(Self::Labels(
            namespace.to_owned(),
            pairs.collect::<Option<_>>()?,
        ))
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

/// `LOCAL:REMOTE`, `PORT` for both, or `:REMOTE` for any local one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Ours; 0: any.
    pub local: u16,
    /// The Pod's, or the Service's.
    pub remote: u16,
}

/// Not such ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write LOCAL:REMOTE, such as 8080:80, or one port for both, or :80 for any local port")]
pub struct BadPorts;

impl FromStr for Ports {
    type Err = BadPorts;

    fn from_str(text: &str) -> Result<Self, BadPorts> {
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        let port = |text: &str| text.parse().or(Err(BadPorts));
        let local = if local.is_empty() { 0 } else { port(local)? };
        let remote = port(remote)?;
        (remote > 0)
            .then_some(Self { local, remote })
            .ok_or(BadPorts)
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
            let pods = pods.filter(|pod| {
                let has = |(key, value)| pod.labels.get(key) == Some(value);
                *pod.name.namespace == **namespace && labels.iter().all(has)
            });
            at(pods, port)
        }
    }
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
    let mut world = World::new("");
    for change in snapshot.changes.clone() {
        world.apply(change);
    }
    let ports = world
        .service(name)
        .map_or(&[][..], |service| &service.ports);
    let wanted = ports.iter().find(|it| it.port == port);
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
    use crate::watch::standalone::snapshot;
    use std::fs;

    const MANIFESTS: &str = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web, tier: a}}
status: {podIP: 10.1.0.1, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, labels: {app: web}}
status: {podIP: 10.1.0.2, conditions: [{type: Ready, status: 'False'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-3, labels: {app: web}}
status: {podIP: 10.1.0.3, conditions: [{type: Ready, status: 'True'}]}
";

    #[test]
    fn who_serves() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("all.yaml"), MANIFESTS).unwrap();
        let snapshot = snapshot::read(vec![folder.path().to_owned()]);
        let labelled = |text| Meant::labelled("default", text).unwrap();
        let named = |text| Meant::named("default", text);
        for (meant, port, expected) in [
            (named("svc/web"), 80, "10.1.0.1:8080 10.1.0.3:8080"),
            (named("svc/web"), 8080, ""),
            (named("svc/none"), 80, ""),
            (named("web-2"), 8080, "10.1.0.2:8080"),
            (named("pod/web-1"), 9, "10.1.0.1:9"),
            (Meant::named("other", "web-1"), 9, ""),
            (labelled("app=web"), 8080, "10.1.0.1:8080 10.1.0.3:8080"),
            (labelled("app=web,tier==a"), 8080, "10.1.0.1:8080"),
            (labelled("app=none"), 8080, ""),
        ] {
            let found = candidates(&meant, port, &snapshot);
            let found: Vec<_> = found.iter().map(|it| it.address.to_string()).collect();
            assert_eq!(found.join(" "), expected, "{meant}");
        }
        assert_eq!(Meant::labelled("default", "app"), None);
    }

    #[test]
    fn ports_are_written_as_for_kubectl() {
        for (text, expected) in [
            ("48858:8080", Ok((48_858, 8_080))),
            ("8080", Ok((8_080, 8_080))),
            (":80", Ok((0, 80))),
            ("80:", Err(BadPorts)),
            ("80:0", Err(BadPorts)),
            ("web:80", Err(BadPorts)),
        ] {
            let parsed = text.parse::<Ports>().map(|it| (it.local, it.remote));
            assert_eq!(parsed, expected, "{text}");
        }
    }
}
