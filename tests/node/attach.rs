// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links come and go, agents too: where our programs are, and what is said where they cannot be.

use std::{
    fs,
    process::{Command, Output},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::Value;
use tests::{netns::Namespace, wait};

use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn links_are_followed() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    let node = &scene.node.namespace;
    let start = Instant::now();
    node.ip("link add vethnew type veth peer name peer\n")?;
    let added = start.elapsed();
    let index = index(node, "vethnew")?;
    wait::until("the new link's programs", PATIENCE, || {
        served(&scene, index).then_some(())
    })?;
    println!(
        "served {:?} after `ip` began, which took {added:?}",
        start.elapsed()
    );
    node.ip("link set vethnew name other\n")?;
    wait::until("a renamed link to be left alone", PATIENCE, || {
        unserved(&scene, index)
    })?;
    assert_eq!(programs(node, "other")?, 0);
    node.ip("link set other name vethnew\n")?;
    wait::until("the link to be served again", PATIENCE, || {
        served(&scene, index).then_some(())
    })?;
    // Its programs would go with it, and its pins stay.
    node.ip(&format!(
        "link set vethnew netns {}\n",
        scene.client.namespace.name()
    ))?;
    wait::until("the pins of a link that has left", PATIENCE, || {
        unserved(&scene, index)
    })?;
    assert_eq!(programs(&scene.client.namespace, "vethnew")?, 0);
    let client = self::index(node, &scene.client.link)?;
    assert!(served(&scene, client));
    scene.node.remove_pod(&scene.client)?;
    wait::until("the pins of a link that has gone", PATIENCE, || {
        unserved(&scene, client)
    })
}

#[test]
fn what_somebody_takes_off_comes_back() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    let index = index(&scene.node.namespace, &scene.client.link)?;
    let links = scene.weiche.layout().join("links");
    for hook in ["ingress", "egress"] {
        let pin = links.join(format!("{index}-{hook}"));
        fs::remove_file(&pin)?;
        wait::until("our program again", PATIENCE, || pin.exists().then_some(()))?;
    }
    assert_eq!(programs(&scene.node.namespace, &scene.client.link)?, 2);
    Ok(())
}

#[test]
fn a_link_without_ethernet_is_refused_and_harms_no_other() -> anyhow::Result<()> {
    let mut scene = Scene::with_agent(1, &[])?;
    scene
        .node
        .namespace
        .ip("tuntap add mode tun name vethtun\n")?;
    let problem = wait::until("the refusal", PATIENCE, || {
        let problem = edge(&scene, "vethtun")?["problem"].as_str()?.to_owned();
        (!problem.is_empty()).then_some(problem)
    })?;
    assert!(problem.contains("no Ethernet header"), "{problem}");
    // A new pod is served like any other.
    scene.add_backend()?;
    scene.wait_for_backends(2)?;
    Ok(())
}

#[test]
fn a_restart_leaves_edges_that_are_no_longer_meant() -> anyhow::Result<()> {
    for attach in ["tcx", "clsact"] {
        let mut scene = Scene::set(1, tests::netns::RpFilter::Off)?;
        let node = &scene.node.namespace;
        node.ip("link add extra type veth peer name peer\n")?;
        let index = index(node, "extra")?;
        scene.start_agent(&["--attach", attach, "--edge", "extra"])?;
        wait::until("the extra edge", PATIENCE, || {
            served(&scene, index).then_some(())
        })?;
        scene.kill_agent()?;
        assert!(
            served(&scene, index),
            "a dead agent's programs go on serving"
        );
        scene.start_agent(&["--attach", attach])?;
        wait::until("the extra edge to go", PATIENCE, || unserved(&scene, index))?;
        let qdiscs = run(Command::new("tc")
            .args(["-n", scene.node.namespace.name()])
            .args(["qdisc", "show", "dev", "extra"]))?;
        let qdiscs = String::from_utf8_lossy(&qdiscs.stdout).into_owned();
        assert!(!qdiscs.contains("clsact"), "{attach}: {qdiscs}");
    }
    Ok(())
}

#[test]
fn a_second_agent_is_refused() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    let status: Value = serde_json::from_slice(&fs::read(scene.weiche.state.join("status.json"))?)?;
    let pid = format!("pid {}", status["pid"]);
    let elsewhere = scene.lab.dir().join("elsewhere");
    for state in [&scene.weiche.state, &elsewhere] {
        let mut second = scene.weiche.agent(&scene.node, &[scene.lab.dir()]);
        let output = run(second.env("WEICHE_STATE_DIR", state))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&pid), "{said}");
    }
    Ok(())
}

#[test]
fn without_capabilities_the_error_says_which() -> anyhow::Result<()> {
    let scene = Scene::set(1, tests::netns::RpFilter::Off)?;
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set=-all", "--inh-caps=-all"])
        .arg(&scene.weiche.program);
    command
        .args(["run", "--manifests", "/"])
        .envs(scene.weiche.variables());
    let output = run(&mut command)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("CAP_BPF") && said.contains("root"), "{said}");
    assert!(!scene.weiche.pins.exists() && !scene.weiche.state.exists());
    Ok(())
}

/// Whether both hooks of a link have pins.
fn served(scene: &Scene, index: u32) -> bool {
    let links = scene.weiche.layout().join("links");
    let there = |hook| {
        links
            .join(format!("{index}-{hook}"))
            .symlink_metadata()
            .is_ok()
    };
    there("ingress") && there("egress")
}

/// Something if neither hook of a link has a pin.
fn unserved(scene: &Scene, index: u32) -> Option<()> {
    let links = scene.weiche.layout().join("links");
    let gone = |hook| {
        links
            .join(format!("{index}-{hook}"))
            .symlink_metadata()
            .is_err()
    };
    (gone("ingress") && gone("egress")).then_some(())
}

/// How many programs the hooks of a link have, by tcx.
fn programs(namespace: &Namespace, link: &str) -> anyhow::Result<usize> {
    let link = std::ffi::CString::new(link)?;
    namespace.run(|| {
        let mut count = 0;
        for hook in [TcAttachType::Ingress, TcAttachType::Egress] {
            count += SchedClassifier::query_tcx(&link, hook)?.1.len();
        }
        Ok(count)
    })?
}

pub(crate) fn index(namespace: &Namespace, link: &str) -> anyhow::Result<u32> {
    let output =
        run(Command::new("ip").args(["-n", namespace.name(), "-j", "link", "show", link]))?;
    let links: Value = serde_json::from_slice(&output.stdout)?;
    let index = links[0]["ifindex"].as_u64().context("no index")?;
    Ok(index.try_into()?)
}

/// What the status says of an interface.
fn edge(scene: &Scene, name: &str) -> Option<Value> {
    let text = fs::read(scene.weiche.state.join("status.json")).ok()?;
    let status: Value = serde_json::from_slice(&text).ok()?;
    let edges = status["edges"].as_array()?;
    edges.iter().find(|edge| edge["name"] == name).cloned()
}

fn run(command: &mut Command) -> anyhow::Result<Output> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    ensure!(output.status.code().is_some(), "{command:?} was killed");
    Ok(output)
}
