// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real agent in cluster mode: an API server on the node, real maps, real traffic.

use std::{fs, process::Command, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use lb_common::wire;
use lb_userspace::{
    config::Seed,
    datapath::pin::Pins,
    maps::{Store, kernel::KernelStore},
    reconcile::Settings,
};
use serde_json::{Value, json};
use tests::{
    api_server::{ApiServer, Resource},
    control::{dump, oracle},
    netns::{Node, RpFilter},
    traffic::Load,
    wait,
};

use crate::scene::{POD_PORT, PORT, Scene, V4, V6};

const PATIENCE: Duration = Duration::from_secs(60);

/// The scene, with an API server that holds its Service and backends.
pub(crate) struct Cluster {
    pub(crate) scene: Scene,
    pub(crate) server: Arc<ApiServer>,
}

impl Cluster {
    /// Sets it with so many backends; the agent does not run yet.
    pub(crate) fn set(backends: u16) -> anyhow::Result<Self> {
        let mut scene = Scene::set(backends, RpFilter::Off)?;
        // Its sockets are the node's, whatever thread uses them.
        let server = scene.node.namespace.run(ApiServer::start)??;
        let kubeconfig = scene.lab.dir().join("kubeconfig");
        fs::write(&kubeconfig, server.kubeconfig())?;
        scene.follow_cluster(kubeconfig);
        server.put(json!({"kind": "Node", "metadata": {"name": Node::NAME}}));
        server.put(json!({
            "kind": "Service",
            "metadata": {"name": "web", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "clusterIP": V4, "clusterIPs": [V4, V6], "ports": [
                    {"name": "tcp", "port": PORT, "protocol": "TCP"},
                    {"name": "udp", "port": PORT, "protocol": "UDP"},
                ],
            },
        }));
        for (family, v4) in [("IPv4", true), ("IPv6", false)] {
            let endpoints = scene.backends.iter().map(|pod| {
                let address = if v4 {
                    pod.v4.to_string()
                } else {
                    pod.v6.to_string()
                };
                json!({"addresses": [address], "nodeName": Node::NAME})
            });
            server.put(json!({
                "kind": "EndpointSlice", "addressType": family,
                "metadata": {
                    "name": format!("web-{}", family.to_lowercase()),
                    "labels": {"kubernetes.io/service-name": "web"},
                },
                "endpoints": endpoints.collect::<Vec<_>>(),
                "ports": [
                    {"name": "tcp", "port": POD_PORT, "protocol": "TCP"},
                    {"name": "udp", "port": POD_PORT, "protocol": "UDP"},
                ],
            }));
        }
        Ok(Self {
            scene,
            server: Arc::new(server),
        })
    }

    /// What the kernel's maps hold, as people read it.
    pub(crate) fn found(&self) -> anyhow::Result<String> {
        let maps = Pins::new(&self.scene.weiche.pins).current().maps();
        text(&KernelStore::open(&maps)?)
    }

    /// What they should hold.
    pub(crate) fn wanted(&self) -> anyhow::Result<String> {
        let seed = Seed::read(&self.scene.lab.dir().join("seed"))?;
        let node = wire::Node {
            seed: seed.words,
            ..wire::Node::default()
        };
        let settings = Settings::new(Node::NAME, node);
        text(&oracle::maps_of(&self.server, settings)?)
    }

    /// What `weiche status` prints.
    fn status(&self) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.scene.weiche.program);
        command.args(["status", "-o", "json"]);
        let output = command.envs(self.scene.weiche.variables()).output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn wait_for_status(&self, what: &str, wish: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let waited = wait::until(what, PATIENCE, || self.status().ok().filter(|it| wish(it)));
        waited.with_context(|| self.scene.last_words())
    }
}

/// Frontends with their backends, and all backends; in an order that is none of the kernel's.
fn text(store: &impl Store) -> anyhow::Result<String> {
    let services = dump::services(store)?;
    let lines: Vec<&str> = services.lines().collect();
    let frontends = lines.chunk_by(|_, next| next.starts_with(' '));
    let mut frontends: Vec<String> = frontends.map(|lines| lines.join("\n")).collect();
    frontends.sort();
    Ok(format!(
        "{}\n{}",
        frontends.join("\n"),
        dump::backends(store)?
    ))
}

fn troubles(status: &Value) -> usize {
    let problems = status["status"]["watch"]["problems"].as_array();
    let problems = problems.into_iter().flatten();
    let of_server = |it: &&Value| {
        let reason = it["reason"].as_str().unwrap_or_default();
        reason.contains("What is known stays in force; trying again")
    };
    problems.filter(of_server).count()
}

fn extra(name: &str, address: &str) -> Value {
    json!({
        "kind": "Service", "metadata": {"name": name},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]},
    })
}

#[test]
fn without_its_api_server_all_goes_on_and_says_so() -> anyhow::Result<()> {
    let mut cluster = Cluster::set(2)?;
    cluster.server.put(extra("old", "10.96.0.90"));
    cluster.scene.start_agent(&[])?;
    let wanted = cluster.wanted()?;
    ensure!(cluster.found()? == wanted, "{}", cluster.found()?);
    let routes = cluster.scene.routes();
    let load = Load::start(&cluster.scene.client.namespace, routes, 20, 100)?;
    cluster.server.stop()?;
    cluster.wait_for_status("three kinds in trouble", |status| troubles(status) == 3)?;
    load.wait_for(100)?;

    // A new agent knows nothing of the world, and leaves the old one's work alone.
    cluster.scene.kill_agent()?;
    cluster.server.delete(Resource::Services, "default", "old");
    cluster.server.put(extra("new", "10.96.0.91"));
    cluster.scene.launch_agent(&[])?;
    let waiting = |status: &Value| {
        status["alive"] == true
            && troubles(status) == 3
            && status["status"]["sync"]["listed"] == false
    };
    cluster.wait_for_status("an agent that waits for lists", waiting)?;
    load.wait_for(100)?;
    ensure!(cluster.found()? == wanted, "{}", cluster.found()?);

    // Two lists of three are not enough to take anything away.
    cluster
        .server
        .faults_of(Resource::Nodes, |faults| faults.refuse = Some(503));
    let again = || cluster.server.restart();
    cluster.scene.node.namespace.run(again)??;
    let two = |status: &Value| {
        let listed = status["status"]["watch"]["listed"].as_array();
        listed.map_or(0, Vec::len) == 2 && troubles(status) == 1
    };
    cluster.wait_for_status("two lists of three", two)?;
    load.wait_for(100)?;
    ensure!(cluster.found()? == wanted, "{}", cluster.found()?);

    cluster
        .server
        .faults_of(Resource::Nodes, |faults| faults.refuse = None);
    let wanted = cluster.wanted()?;
    ensure!(wanted.contains("default/new") && !wanted.contains("default/old"));
    wait::until("what is gone to be pruned", PATIENCE, || {
        (cluster.found().ok()? == wanted).then_some(())
    })?;
    cluster.wait_for_status("no trouble", |status| troubles(status) == 0)?;
    cluster.scene.check(&load.stop()?)
}
