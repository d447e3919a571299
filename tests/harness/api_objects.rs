// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects of our model as a Kubernetes API shows them: the way back from
//! `lb_userspace::watch::convert`, for what an API server of the tests is to hold.

use std::{collections::BTreeMap, net::IpAddr};

use lb_userspace::model::{
    Affinity, Change, Endpoint, EndpointSlice, Kind, Name, NodeObject, Policy, ServiceKind,
    ServiceObject,
};
use serde_json::{Map, Value, json};

use crate::api_server::{ApiServer, Resource};

/// What an object of a mixed slice is called for its second family.
const SUFFIXES: [(&str, &str); 2] = [("IPv4", ""), ("IPv6", "-v6")];

/// Which Pod has an address, by namespace.
pub type PodNames = BTreeMap<(String, IpAddr), String>;

/// Does to the server's objects what a change says; lists begin and end without it. Endpoints are
/// no Pods.
pub fn tell(server: &ApiServer, change: &Change) {
    tell_of_pods(server, change, &PodNames::new());
}

/// The same, where endpoints with these Pods' addresses name them.
fn tell_of_pods(server: &ApiServer, change: &Change, pods: &PodNames) {
    let gone = |resource, namespace: &str, name: &str| {
        // Whoever tells of an end twice is right the second time as well.
        let _was_there = server.delete(resource, namespace, name);
    };
    let there = |object| {
        let _version = server.put(object);
    };
    match change {
        Change::Service(object) => there(service(object)),
        Change::Slice(object) => {
            for (name, slice) in slices(object, pods) {
                match slice {
                    Some(slice) => there(slice),
                    None => gone(Resource::EndpointSlices, &object.name.namespace, &name),
                }
            }
        }
        Change::Node(object) => there(node(object)),
        Change::ServiceGone(name) => gone(Resource::Services, &name.namespace, &name.name),
        Change::SliceGone(name) => {
            for (_family, suffix) in SUFFIXES {
                let part = format!("{}{suffix}", name.name);
                gone(Resource::EndpointSlices, &name.namespace, &part);
            }
        }
        Change::NodeGone(name) => gone(Resource::Nodes, "", name),
        Change::Namespace(name) => {
            there(json!({"kind": "Namespace", "metadata": {"name": **name}}));
        }
        Change::NamespaceGone(name) => gone(Resource::Namespaces, "", name),
        Change::Addresses(_) | Change::Unreadable(..) | Change::Listing(_) | Change::Listed(_) => {}
    }
}

/// Shows a server a whole stream of changes, lists too.
#[derive(Debug, Default)]
pub struct Mirror {
    /// What a list that is running has not named, by kind.
    unnamed: BTreeMap<Kind, Vec<(String, String)>>,
    /// The Pods that endpoints may be.
    pub pods: PodNames,
}

impl Mirror {
    /// One step of the stream.
    pub fn tell(&mut self, server: &ApiServer, change: &Change) {
        match change {
            Change::Listing(kind) => {
                let known = server.objects(resource(*kind)).into_iter();
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let known = known.map(|object| {
                    let metadata = &object["metadata"];
                    (text(&metadata["namespace"]), text(&metadata["name"]))
                });
                self.unnamed.insert(*kind, known.collect());
            }
            Change::Listed(kind) => {
                for (namespace, name) in self.unnamed.remove(kind).unwrap_or_default() {
                    server.delete(resource(*kind), &namespace, &name);
                }
            }
            Change::Service(object) => self.named(Kind::Service, &object.name),
            Change::Slice(object) => {
                for (_family, suffix) in SUFFIXES {
                    let name = format!("{}{suffix}", object.name.name);
                    self.named(
                        Kind::EndpointSlice,
                        &Name::new(&object.name.namespace, &name),
                    );
                }
            }
            Change::Node(object) => self.named(Kind::Node, &Name::new("", &object.name)),
            Change::Namespace(name) => self.named(Kind::Namespace, &Name::new("", name)),
            Change::Unreadable(kind, name) => self.named(*kind, name),
            Change::ServiceGone(_)
            | Change::SliceGone(_)
            | Change::NodeGone(_)
            | Change::NamespaceGone(_)
            | Change::Addresses(_) => {}
        }
        tell_of_pods(server, change, &self.pods);
    }

    fn named(&mut self, kind: Kind, name: &Name) {
        let unnamed = self.unnamed.entry(kind).or_default();
        unnamed.retain(|(namespace, it)| (&**namespace, &**it) != (&*name.namespace, &*name.name));
    }
}

fn resource(kind: Kind) -> Resource {
    match kind {
        Kind::Service => Resource::Services,
        Kind::EndpointSlice => Resource::EndpointSlices,
        Kind::Node => Resource::Nodes,
        Kind::Namespace => Resource::Namespaces,
    }
}

/// A Service.
fn service(object: &ServiceObject) -> Value {
    let mut labels = Map::new();
    if let Some(name) = &object.proxy_name {
        labels.insert(
            "service.kubernetes.io/service-proxy-name".into(),
            (**name).into(),
        );
    }
    let mut annotations = Map::new();
    if let Some(forwarding) = object.forwarding {
        annotations.insert("weiche.dev/forwarding".into(), forwarding.name().into());
    }
    let ports = object.ports.iter().map(|port| {
        json!({
            "name": *port.name, "protocol": port.protocol.name(),
            "port": port.port, "nodePort": port.node_port,
        })
    });
    let mut spec = json!({
        "type": match object.kind {
            ServiceKind::ClusterIp => "ClusterIP",
            ServiceKind::NodePort => "NodePort",
            ServiceKind::LoadBalancer => "LoadBalancer",
            ServiceKind::ExternalName => "ExternalName",
        },
        "ports": ports.collect::<Vec<_>>(),
        "internalTrafficPolicy": policy(object.internal_policy),
        "externalTrafficPolicy": policy(object.external_policy),
        "externalIPs": texts(&object.external_ips),
    });
    if object.headless {
        spec["clusterIP"] = "None".into();
    } else if let Some(first) = object.cluster_ips.first() {
        spec["clusterIP"] = first.to_string().into();
        spec["clusterIPs"] = texts(&object.cluster_ips).into();
    }
    if let Affinity::ClientIp { seconds } = object.affinity {
        spec["sessionAffinity"] = "ClientIP".into();
        spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": seconds}});
    }
    let ingress = object.load_balancer_ips.iter();
    let ingress = ingress.map(|address| json!({"ip": address.to_string()}));
    json!({
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {
            "name": *object.name.name,
            "namespace": *object.name.namespace,
            "labels": labels,
            "annotations": annotations,
            "creationTimestamp": timestamp(object.created_s),
        },
        "spec": spec,
        "status": {"loadBalancer": {"ingress": ingress.collect::<Vec<_>>()}},
    })
}

/// An `EndpointSlice`: one of each address family that it has, by name; none where it has none.
fn slices(object: &EndpointSlice, pods: &PodNames) -> Vec<(String, Option<Value>)> {
    let namespace = &*object.name.namespace;
    let slices = SUFFIXES.into_iter().map(|(family, suffix)| {
        let name = format!("{}{suffix}", object.name.name);
        let of_family = |endpoint: &&Endpoint| endpoint.address.is_ipv4() == (family == "IPv4");
        let endpoints = object.endpoints.iter().filter(of_family);
        let endpoints = endpoints.map(|it| {
            let pod = pods.get(&(namespace.to_owned(), it.address));
            let target = |pod| json!({"kind": "Pod", "namespace": namespace, "name": pod});
            endpoint(it, pod.map(target).as_ref())
        });
        let endpoints: Vec<Value> = endpoints.collect();
        let ports = object.ports.iter().map(
            |port| json!({"name": *port.name, "protocol": port.protocol.name(), "port": port.port}),
        );
        let slice = json!({
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": {
                "name": name,
                "namespace": *object.name.namespace,
                "labels": {"kubernetes.io/service-name": *object.service},
            },
            "addressType": family,
            "endpoints": endpoints,
            "ports": ports.collect::<Vec<_>>(),
        });
        (name, (!endpoints.is_empty()).then_some(slice))
    });
    slices.collect()
}

/// A Node.
fn node(object: &NodeObject) -> Value {
    let mut labels = Map::new();
    if let Some(zone) = &object.zone {
        labels.insert("topology.kubernetes.io/zone".into(), (**zone).into());
    }
    let addresses = object.addresses.iter();
    let addresses =
        addresses.map(|address| json!({"type": "InternalIP", "address": address.to_string()}));
    json!({
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": *object.name, "labels": labels},
        "status": {"addresses": addresses.collect::<Vec<_>>()},
    })
}

fn endpoint(endpoint: &Endpoint, target: Option<&Value>) -> Value {
    let hint = |name: &str| json!({"name": name});
    let place = &endpoint.place;
    let zones: Vec<_> = place.hint_zones.iter().map(|it| hint(it)).collect();
    let nodes: Vec<_> = place.hint_nodes.iter().map(|it| hint(it)).collect();
    json!({
        "addresses": [endpoint.address.to_string()],
        "conditions": {
            "ready": endpoint.ready,
            "serving": endpoint.serving,
            "terminating": endpoint.terminating,
        },
        "nodeName": place.node.as_deref(),
        "zone": place.zone.as_deref(),
        "hints": {"forZones": zones, "forNodes": nodes},
        "targetRef": target,
    })
}

fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::Cluster => "Cluster",
        Policy::Local => "Local",
    }
}

fn texts(addresses: &[IpAddr]) -> Vec<Value> {
    let texts = addresses.iter().map(|address| address.to_string().into());
    texts.collect()
}

/// Only order matters to a proxy; the first day is enough for that.
fn timestamp(seconds: i64) -> String {
    let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("2026-01-01T{hours:02}:{minutes:02}:{:02}Z", seconds % 60)
}
