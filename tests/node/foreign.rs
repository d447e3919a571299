// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of others on our hooks: they see every packet that we pass, their drop drops, and they
//! outlive us.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use aya::programs::TcAttachType::{self, Egress, Ingress};
use serde_json::Value;
use tests::{
    foreign::{Foreign, Stand, Then},
    netns::RpFilter,
    traffic::{Burst, Report, Route, burst},
    wait,
};

use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(20);

/// `--attach`, and where others stand before and behind us on each hook.
const KINDS: [(&str, Stand, Stand); 2] = [
    ("tcx", Stand::TcxFirst, Stand::TcxLast),
    ("clsact", Stand::Clsact(1), Stand::Clsact(u16::MAX)),
];

#[test]
fn others_see_every_packet_that_we_pass() -> anyhow::Result<()> {
    for (attach, before, behind) in KINDS {
        for hook in [Ingress, Egress] {
            // Whether the others were there before us, or came later.
            for earlier in [true, false] {
                let mut scene = Scene::set(2, RpFilter::Off)?;
                if !earlier {
                    scene.start_agent(&["--attach", attach, "--direct-delivery=off"])?;
                }
                let before = put(&scene, hook, before, Then::Pass)?;
                let behind = put(&scene, hook, behind, Then::Pass)?;
                let counts = || Some((before.count().ok()?, behind.count().ok()?));
                // A packet that came after the one was put there and before the other.
                let ahead = wait::until("a quiet moment", PATIENCE, || {
                    let (first, last) = counts()?;
                    (counts()? == (first, last)).then(|| first.abs_diff(last))
                })?;
                if earlier {
                    scene.start_agent(&["--attach", attach, "--direct-delivery=off"])?;
                }
                scene.wait_for_backends(2)?;
                Requests::default().succeed(&scene, 100)?;
                // Requests and answers are several packets each.
                let what = format!("both counters to agree ({attach}, {hook:?}, {earlier})");
                let seen = wait::until(&what, PATIENCE, || {
                    let (first, last) = counts()?;
                    (first == last + ahead && last > 400).then_some(last)
                })?;
                println!("{attach} {hook:?}: both saw {seen} packets");
                let names = foreign_names(&scene, 2)?;
                let prefix = format!("{hook:?}: ").to_lowercase();
                assert!(
                    names.iter().all(|name| name.starts_with(&prefix)),
                    "{names:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn the_drop_of_others_drops() -> anyhow::Result<()> {
    for (attach, before, behind) in KINDS {
        let scene = Scene::with_agent(1, &["--attach", attach, "--direct-delivery=off"])?;
        let mut requests = Requests::default();
        for hook in [Ingress, Egress] {
            for stand in [before, behind] {
                let foreign = put(&scene, hook, stand, Then::Drop)?;
                let failed = requests.fail(&scene);
                failed.with_context(|| format!("{attach} {hook:?} {stand:?}"))?;
                assert!(foreign.count()? > 0, "{attach} {hook:?} {stand:?}");
                foreign.take_off(&scene.node.namespace)?;
                // The kernel looks for a lost neighbour once a second.
                let what = format!("answers again ({attach} {hook:?} {stand:?})");
                wait::until(&what, PATIENCE, || requests.succeed(&scene, 1).ok())?;
            }
        }
    }
    Ok(())
}

#[test]
fn others_stay_when_we_go() -> anyhow::Result<()> {
    for (attach, before, behind) in KINDS {
        let mut scene = Scene::with_agent(1, &["--attach", attach, "--direct-delivery=off"])?;
        let before = put(&scene, Ingress, before, Then::Pass)?;
        let behind = put(&scene, Egress, behind, Then::Pass)?;
        scene.kill_agent()?;
        let mut command = scene.node.namespace.command(&scene.weiche.program);
        let output = command
            .arg("cleanup")
            .envs(scene.weiche.variables())
            .output()?;
        assert!(output.status.success(), "{output:?}");
        assert!(!scene.weiche.pins.exists(), "{attach}");
        let first = before.count()?;
        // Nobody translates any more, but packets still come.
        Requests::default().fail(&scene)?;
        assert!(before.count()? > first, "{attach}");
        // Fails if it is not there any more.
        behind.take_off(&scene.node.namespace)?;
    }
    Ok(())
}

/// A foreign program on the client's edge.
pub(crate) fn put(
    scene: &Scene,
    hook: TcAttachType,
    stand: Stand,
    then: Then,
) -> anyhow::Result<Foreign> {
    let bpffs = scene.weiche.pins.parent().context("no bpffs")?;
    let (namespace, link) = (&scene.node.namespace, &scene.client.link);
    Foreign::attach(namespace, bpffs, link, hook, stand, then)
}

/// Requests to the Service, each with an id of its own in the whole test.
#[derive(Debug, Default)]
struct Requests {
    next_id: u64,
}

impl Requests {
    /// So many on each of these routes, all answered.
    fn succeed(&mut self, scene: &Scene, count: u64) -> anyhow::Result<()> {
        for route in scene.routes() {
            scene.check(&self.send(scene, route, count)?)?;
        }
        Ok(())
    }

    /// One in vain.
    fn fail(&mut self, scene: &Scene) -> anyhow::Result<()> {
        let route = scene.routes().pop().context("no route")?;
        let report = self.send(scene, route, 1)?;
        ensure!(report.failures.len() == 1, "answered although it cannot be");
        Ok(())
    }

    fn send(&mut self, scene: &Scene, route: Route, count: u64) -> anyhow::Result<Report> {
        let first_id = self.next_id;
        self.next_id += count;
        let requests = Burst::of(route, count).first_id(first_id);
        scene.client.namespace.block_on(|| burst(requests))
    }
}

/// What `weiche status` lists as foreign on the client's edge.
pub(crate) fn foreign_names(scene: &Scene, count: usize) -> anyhow::Result<Vec<String>> {
    wait::until("foreign programs in the status", PATIENCE, || {
        let text = fs::read(scene.weiche.state.join("status.json")).ok()?;
        let status: Value = serde_json::from_slice(&text).ok()?;
        let edges = status["edges"].as_array()?;
        let ours = |edge: &&Value| edge["name"] == scene.client.link.as_str();
        let names = edges.iter().find(ours)?["foreign"].as_array()?;
        let names = names
            .iter()
            .map(|name| name.as_str().unwrap_or("").to_owned());
        let names: Vec<_> = names.collect();
        (names.len() == count).then_some(names)
    })
}
