// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche explain` on a node: what it says beforehand is what a client then gets.

use std::{
    net::SocketAddr,
    process::{Command, Output},
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tests::traffic::{Protocol, Route};

use crate::{
    probe::flow,
    scene::{PORT, Scene, V4},
};

/// `weiche explain -o json`, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Explained {
    stages: Vec<Stage>,
    reason: String,
    verdict: String,
}

#[derive(Debug, Deserialize)]
struct Stage {
    name: String,
    decision: String,
    #[serde(default)]
    candidates: Vec<Candidate>,
}

#[derive(Debug, Deserialize)]
struct Candidate {
    backend: String,
    state: String,
    chosen: bool,
}

/// One flow of `weiche flow list -o json`.
#[derive(Debug, Deserialize)]
struct Listed {
    client: SocketAddr,
    address: SocketAddr,
    protocol: String,
    backend: String,
}

impl Explained {
    fn decision(&self, name: &str) -> anyhow::Result<&str> {
        let stage = self.stages.iter().find(|stage| stage.name == name);
        let stage = stage.with_context(|| format!("no stage {name} in {self:?}"))?;
        Ok(&stage.decision)
    }
}

fn weiche(scene: &Scene, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(&scene.weiche.program);
    command.arg("explain").args(arguments);
    let output = command.envs(scene.weiche.variables()).output();
    output.with_context(|| format!("starting {command:?}"))
}

fn explain(scene: &Scene, arguments: &[&str]) -> anyhow::Result<Explained> {
    let output = weiche(scene, &[arguments, &["-o", "json"]].concat())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn protocol(route: Route) -> &'static str {
    match route.protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

#[test]
fn what_is_explained_is_what_a_client_gets() -> anyhow::Result<()> {
    let mut scene = Scene::with_agent(2, &[])?;
    // Nothing of it needs an agent.
    scene.kill_agent()?;
    for (route, port) in scene.routes().into_iter().zip(41_000..) {
        let from = SocketAddr::new(route.from, port);
        let client = from.to_string();
        let dialled = format!("{}/{}", route.target, protocol(route));
        let told = explain(&scene, &[&client, &dialled])?;
        assert_eq!(told.reason, "forwarded", "{told:?}");
        assert_eq!(told.verdict, "passed", "{told:?}");
        let service = told.decision("service")?;
        assert!(service.starts_with("default/web:"), "{service}");
        let candidates = told.stages.iter().flat_map(|stage| &stage.candidates);
        let chosen: Vec<_> = candidates.filter(|candidate| candidate.chosen).collect();
        let [chosen] = chosen.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(chosen.state, "active");
        let rewrite = format!("{client} -> {}", chosen.backend);
        assert_eq!(told.decision("rewrite")?, rewrite);

        let _open = scene.client.namespace.block_on(|| flow(route, from))??;
        let listed: Vec<Listed> = scene.weiche.list(&["flow", "list"])?;
        let listed = listed.iter().find(|flow| {
            flow.client == from && flow.address == route.target && flow.protocol == protocol(route)
        });
        let listed = listed.context("the flow is listed")?;
        assert_eq!(listed.backend, chosen.backend);

        let text = weiche(&scene, &[&client, &dialled])?;
        let text = String::from_utf8(text.stdout)?;
        for part in [&client, &dialled, "conntrack", &listed.backend, "verdict"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        // A TCP flow is closed by now, so a SYN begins anew.
        let known = match route.protocol {
            Protocol::Tcp => "an established flow of default/web:".to_owned(),
            Protocol::Udp => format!("{} (active): both ends have met", listed.backend),
        };
        assert!(text.contains(&known), "{text}");
    }
    a_segment_of_no_flow(&scene)?;
    flows_of_nobody(&scene)?;
    wrong_questions(&scene)
}

fn flows_of_nobody(scene: &Scene) -> anyhow::Result<()> {
    let listed: anyhow::Result<Vec<Listed>> =
        scene.weiche.list(&["flow", "list", "--service", "nope"]);
    let error = format!("{:#}", listed.err().context("a list of no Service")?);
    assert!(error.contains("no Service nope"), "{error}");
    Ok(())
}

fn a_segment_of_no_flow(scene: &Scene) -> anyhow::Result<()> {
    let dialled = format!("{V4}:{PORT}/tcp");
    let told = explain(scene, &["10.9.9.9:1", &dialled, "--established"])?;
    assert_eq!(told.reason, "flow_reset", "{told:?}");
    let conntrack = told.decision("conntrack")?;
    assert!(conntrack.starts_with("no flow"), "{conntrack}");
    let rewrite = format!("a reset, {V4}:{PORT} -> 10.9.9.9:1");
    assert_eq!(told.decision("rewrite")?, rewrite);
    Ok(())
}

fn wrong_questions(scene: &Scene) -> anyhow::Result<()> {
    for (arguments, said) in [
        (
            ["10.1.0.5", "10.96.0.1:80/TCP"].as_slice(),
            "no address and port",
        ),
        (&["10.1.0.5:1", "10.96.0.1:80/ICMP"], "TCP, UDP or SCTP"),
        (
            &["10.1.0.5:1", "[fd00::1]:80/TCP"],
            "give two of one family",
        ),
        (
            &["10.1.0.5:1", "10.96.0.1:80/UDP", "--established"],
            "leave it out",
        ),
    ] {
        let output = weiche(scene, arguments)?;
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    Ok(())
}
