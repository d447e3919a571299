// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same objects through both modes: nobody downstream can tell which it was.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lb_userspace::{
    model::Name,
    watch::{cluster, standalone},
};
use proptest::{
    prelude::*,
    strategy::{Strategy, ValueTree as _},
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};
use tests::{
    api_server::{ApiServer, Resource},
    figures,
};
use tokio::sync::mpsc;

use crate::{
    recorded::Recording,
    seen::{Seen, Stream},
};

/// One set of objects, told to both.
struct Twins {
    server: ApiServer,
    folder: tempfile::TempDir,
}

impl Twins {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("manifests"))?;
        let server = ApiServer::start()?;
        fs::write(folder.path().join("kubeconfig"), server.kubeconfig())?;
        Ok(Self { server, folder })
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(path)
    }

    /// One file per object, replaced as a whole.
    fn put(&self, object: &Value) -> anyhow::Result<()> {
        let draft = self.path("draft");
        fs::write(&draft, serde_json::to_vec_pretty(object)?)?;
        fs::rename(draft, self.file_of(object))?;
        self.server.put(object.clone());
        Ok(())
    }

    fn delete(&self, object: &Value) -> anyhow::Result<()> {
        fs::remove_file(self.file_of(object))?;
        let kind = &object["kind"];
        let resource = Resource::ALL.into_iter().find(|it| *kind == it.kind());
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        self.server
            .delete(resource.expect("a kind"), text("namespace"), text("name"));
        Ok(())
    }

    fn file_of(&self, object: &Value) -> PathBuf {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let (namespace, name) = (text(&metadata["namespace"]), text(&metadata["name"]));
        let name = format!("{}-{namespace}-{name}.json", text(&object["kind"]));
        self.path("manifests").join(name)
    }

    async fn start(&self) -> anyhow::Result<(Stream, Stream)> {
        let (sender, changes) = mpsc::channel(16);
        let settings = standalone::Settings {
            folders: vec![self.path("manifests")],
            cidrs: vec!["10.96.0.0/16".parse()?],
            state_dir: self.path("state"),
            own_server: None,
        };
        let standalone = Stream::new(changes, standalone::spawn(settings, sender)?);
        let (sender, changes) = mpsc::channel(16);
        let settings = cluster::Settings {
            kubeconfig: Some(self.path("kubeconfig")),
            ..cluster::Settings::default()
        };
        let cluster = Stream::new(changes, cluster::spawn(settings, sender).await?);
        Ok((standalone, cluster))
    }
}

/// Waits until both have seen the same, up to the end of a round.
async fn agree((standalone, cluster): &mut (Stream, Stream), round: u64) -> anyhow::Result<()> {
    // Of one round of standalone mode, it is the last change that is told.
    let told = |seen: &Seen| seen.all_listed() && !seen.services.contains_key(&marker_name(round));
    standalone.until("the end of the round", told).await?;
    let seen = &standalone.seen;
    let (services, slices, nodes) = (&seen.services, &seen.slices, &seen.nodes);
    cluster
        .until("the same Services", |seen| seen.services == *services)
        .await?;
    cluster
        .until("the same slices", |seen| seen.slices == *slices)
        .await?;
    cluster
        .until("the same Nodes", |seen| seen.nodes == *nodes)
        .await
}

/// A Service that is there in every round but this one.
fn marker(round: u64) -> Value {
    json!({
        "kind": "Service", "apiVersion": "v1",
        "metadata": {"name": &*marker_name(round).name, "namespace": "default", "uid": "0"},
        "spec": {"clusterIP": "10.96.0.99"},
    })
}

fn marker_name(round: u64) -> Name {
    Name::new("default", &format!("zz-{}", round % 2))
}

#[tokio::test]
async fn a_recorded_cluster_as_manifests() -> anyhow::Result<()> {
    let twins = Twins::new()?;
    for name in [
        "services-list-after",
        "endpointslices-list-after",
        "nodes-list",
    ] {
        for item in Recording::read(name)?.items()? {
            twins.put(&item)?;
        }
    }
    let mut streams = twins.start().await?;
    agree(&mut streams, 0).await?;
    assert_eq!(streams.0.seen.services.len(), 7);
    Ok(())
}

#[test]
fn any_objects_in_any_order() {
    figures::check("both-modes", |run| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let edits = runtime.block_on(compare(run.size, run.seed))?;
        Ok(vec![("edits", edits.into())])
    });
}

async fn compare(rounds: u64, seed: u64) -> anyhow::Result<u64> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let twins = Twins::new()?;
    let mut there: Vec<Value> = Vec::new();
    twins.put(&marker(0))?;
    let mut streams = twins.start().await?;
    let mut edits = 0;
    for round in 0..rounds {
        for (object, delete) in draw(&mut runner, &prop::collection::vec(edit(), 1..8))? {
            let same = |it: &Value| twins.file_of(it) == twins.file_of(&object);
            let known = there.iter().position(same);
            if let Some(known) = known {
                there.swap_remove(known);
            }
            match (delete, known) {
                (true, Some(_)) => twins.delete(&object)?,
                (true, None) => continue,
                (false, _) => {
                    twins.put(&object)?;
                    there.push(object);
                }
            }
            edits += 1;
        }
        twins.put(&marker(round + 1))?;
        twins.delete(&marker(round))?;
        agree(&mut streams, round).await?;
    }
    Ok(edits)
}

fn draw<S: Strategy>(runner: &mut TestRunner, strategy: &S) -> anyhow::Result<S::Value> {
    let tree = strategy
        .new_tree(runner)
        .map_err(|reason| anyhow::anyhow!("{reason}"))?;
    Ok(tree.current())
}

/// An object and whether it is to go.
fn edit() -> impl Strategy<Value = (Value, bool)> {
    let object = prop_oneof![4 => service(), 4 => slice(), 1 => node()];
    (object, prop::bool::weighted(0.3))
}

fn service() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec![
        "ClusterIP",
        "NodePort",
        "LoadBalancer",
        "ExternalName",
    ]);
    let address = prop::sample::select(vec!["10.96.0.7", "010.96.000.8", "fd00::7", "None"]);
    let ports = prop::collection::vec((1..70_000, protocol(), 0..40_000), 0..4);
    let affinity = prop::sample::select(vec![None, Some("None"), Some("ClientIP")]);
    (0..6, kind, address, ports, affinity, 0..90_000, labels()).prop_map(
        |(name, kind, address, ports, affinity, seconds, labels)| {
            let ports =
                ports
                    .into_iter()
                    .enumerate()
                    .map(|(index, (port, protocol, node_port))| {
                        json!({
                            "name": format!("p{index}"), "port": port, "protocol": protocol,
                            "nodePort": node_port,
                        })
                    });
            json!({
                "kind": "Service", "apiVersion": "v1",
                "metadata": {
                    "name": format!("s{name}"), "namespace": "default", "labels": labels,
                    "uid": "0", "creationTimestamp": "2026-11-23T21:50:04Z",
                },
                "spec": {
                    "type": kind, "clusterIP": address, "clusterIPs": [address],
                    "ports": ports.collect::<Vec<_>>(), "sessionAffinity": affinity,
                    "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}},
                    "externalTrafficPolicy": if seconds % 2 == 0 { "Local" } else { "Cluster" },
                    "externalIPs": ["192.0.2.1", "no address"],
                },
                "status": {"loadBalancer": {"ingress": [
                    {"ip": "198.51.100.1"},
                    {"ip": "198.51.100.2", "ipMode": "Proxy"},
                    {"hostname": "example.org"},
                ]}},
            })
        },
    )
}

fn slice() -> impl Strategy<Value = Value> {
    let family = prop::sample::select(vec!["IPv4", "IPv6"]);
    let flag = || prop::option::of(any::<bool>());
    let endpoint = (1..9, flag(), flag(), flag(), prop::option::of(0..3));
    let endpoints = prop::collection::vec(endpoint, 0..5);
    (0..4, 0..6, family, endpoints, protocol(), 0..70_000).prop_map(
        |(name, service, family, endpoints, protocol, port)| {
            let four = family == "IPv4";
            let endpoints =
                endpoints
                    .into_iter()
                    .map(|(host, ready, serving, terminating, node)| {
                        let address = if four {
                            format!("10.0.0.0{host}")
                        } else {
                            format!("fd00::{host}")
                        };
                        json!({
                            "addresses": [address, "10.9.9.9"],
                            "conditions": {
                                "ready": ready, "serving": serving, "terminating": terminating,
                            },
                            "nodeName": node.map(|node| format!("n{node}")),
                            "zone": node.map(|node| format!("z{node}")),
                            "hints": {"forZones": [{"name": "z0"}]},
                            "targetRef": {"kind": "Pod", "name": format!("pod-{host}")},
                        })
                    });
            json!({
                "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
                "metadata": {
                    "name": format!("e{name}"), "namespace": "default",
                    "labels": {"kubernetes.io/service-name": format!("s{service}")},
                },
                "addressType": family,
                "endpoints": endpoints.collect::<Vec<_>>(),
                "ports": [{"name": "p0", "protocol": protocol, "port": port}],
            })
        },
    )
}

fn node() -> impl Strategy<Value = Value> {
    (0..3, 0..4).prop_map(|(name, zone)| {
        json!({
            "kind": "Node", "apiVersion": "v1",
            "metadata": {
                "name": format!("n{name}"),
                "labels": {"topology.kubernetes.io/zone": format!("z{zone}")},
            },
            "status": {"addresses": [
                {"type": "Hostname", "address": "n"},
                {"type": "ExternalIP", "address": "192.0.2.9"},
                {"type": "InternalIP", "address": format!("192.0.2.{zone}")},
            ]},
        })
    })
}

fn protocol() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["TCP", "UDP", "SCTP", "ICMP"])
}

fn labels() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({}),
        json!({"service.kubernetes.io/headless": ""}),
        json!({"service.kubernetes.io/service-proxy-name": "other"}),
    ])
}
