// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pods come, go and change their labels: new flows follow at once, open ones stay.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tests::{
    traffic::{Answer, Burst, Connection, Load, Protocol, Route, burst},
    wait,
};

use crate::scene::Scene;

#[test]
fn new_flows_follow_the_manifests() -> anyhow::Result<()> {
    let mut scene = Scene::with_agent(2, &[])?;
    scene.add_backend()?;
    scene.wait_for_backends(3)?;
    new_flows_reach(&scene, 0, &["web-1", "web-2", "web-3"])?;
    scene.label(&scene.backends[0], "other")?;
    scene.wait_for_backends(2)?;
    new_flows_reach(&scene, 1, &["web-2", "web-3"])?;
    scene.forget(&scene.backends[1])?;
    scene.wait_for_backends(1)?;
    new_flows_reach(&scene, 2, &["web-3"])?;
    scene.label(&scene.backends[0], "web")?;
    scene.wait_for_backends(2)?;
    new_flows_reach(&scene, 3, &["web-1", "web-3"])
}

#[test]
fn open_flows_of_other_backends_stay() -> anyhow::Result<()> {
    let scene = Scene::with_agent(3, &[])?;
    let load = Load::start(&scene.client.namespace, scene.routes(), 100, 100)?;
    load.wait_for(50)?;
    // It serves on, as a pod does that is being taken out of service.
    scene.label(&scene.backends[2], "other")?;
    scene.wait_for_backends(2)?;
    load.wait_for(50)?;
    scene.label(&scene.backends[2], "web")?;
    scene.wait_for_backends(3)?;
    load.wait_for(50)?;
    let report = load.stop()?;
    let of_web_3 = |line: &&String| line.contains("web-3");
    let others = report.failures.iter().filter(|line| !of_web_3(line));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0]);
    Ok(())
}

#[test]
fn flows_of_a_pod_that_is_gone_move_on() -> anyhow::Result<()> {
    let scene = Scene::with_agent(2, &[])?;
    for route in scene.routes() {
        if route.protocol == Protocol::Tcp {
            continue;
        }
        let (client, from) = (&scene.client.namespace, SocketAddr::new(route.from, 20_000));
        let ask = || client.block_on(|| ask(route, from));
        let first = ask()??.pod;
        let pod = scene.backends.iter().find(|pod| pod.name == first);
        let pod = pod.context("an unknown pod")?;
        scene.forget(pod)?;
        wait::until("another pod to answer", Duration::from_secs(2), || {
            let pod = ask().ok()?.ok()?.pod;
            (pod != first).then_some(())
        })?;
        scene.label(pod, "web")?;
        scene.wait_for_backends(2)?;
    }
    Ok(())
}

/// A datagram of a flow, from a socket of its own.
async fn ask(route: Route, from: SocketAddr) -> anyhow::Result<Answer> {
    let mut flow = Connection::open(route.protocol, from, route.target, 0).await?;
    flow.exchange().await
}

fn new_flows_reach(scene: &Scene, round: u64, pods: &[&str]) -> anyhow::Result<()> {
    for (number, route) in (0..).zip(scene.routes()) {
        let first = (round * 4 + number) * 100;
        let few = Burst {
            // Ports that no earlier round had: those flows live on.
            first_port: Some(30_000 + u16::try_from(first)?),
            ..Burst::of(route, 100).first_id(first)
        };
        let report = scene.client.namespace.block_on(|| burst(few))?;
        scene.check(&report)?;
        let reached: Vec<&str> = report.pods.keys().map(String::as_str).collect();
        assert_eq!(reached, pods, "{route:?}");
    }
    Ok(())
}
