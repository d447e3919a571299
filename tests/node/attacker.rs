// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod that puts frames on its link as it likes, under anybody's name.

use std::time::Duration;

use anyhow::Context as _;
use tests::{
    link::PacketSocket,
    netns::{Pod, RpFilter},
    wait,
};

use crate::scene::Scene;

/// The pod, and its link.
#[derive(Debug)]
pub(crate) struct Attacker {
    pod: Pod,
    socket: PacketSocket,
}

impl Attacker {
    /// A scene with one; the node believes every source, or the attacker could do nothing.
    pub(crate) fn set(backends: u16) -> anyhow::Result<(Scene, Self)> {
        let scene = Scene::set(backends, RpFilter::Off)?;
        let pod = scene.node.add_pod(&scene.lab, "attacker", 3)?;
        // The station that the harness's frames go to.
        let link = &pod.link;
        let set = format!("link set {link} address 02:00:00:00:00:02\n");
        scene.node.namespace.ip(&set)?;
        let socket = pod.namespace.run(|| PacketSocket::open("eth0"))??;
        Ok((scene, Self { pod, socket }))
    }

    /// The node's end of its link.
    pub(crate) fn link(&self) -> &str {
        &self.pod.link
    }

    /// Sends a frame.
    pub(crate) fn sends(&self, frame: &[u8]) -> anyhow::Result<()> {
        self.socket.send(frame)
    }

    /// Sends many, in few system calls.
    pub(crate) fn sends_all(&self, frames: &[Vec<u8>]) -> anyhow::Result<()> {
        self.socket.send_all(frames)
    }
}

/// Starts the agent of a scene that has an attacker, and waits for the Service and the edges.
pub(crate) fn serve(scene: &mut Scene, flags: &[&str]) -> anyhow::Result<()> {
    scene.start_agent(flags)?;
    let backends = scene.backends.len();
    scene.wait_for_backends(backends)?;
    // Client, attacker, backends, uplink.
    wait_for_edges(scene, backends + 3)
}

/// Waits until so many links are edges.
pub(crate) fn wait_for_edges(scene: &Scene, count: usize) -> anyhow::Result<()> {
    let what = format!("{count} edges");
    let done = wait::until(&what, Duration::from_secs(20), || {
        let status = scene.status().ok()?;
        let edges = status["status"]["edges"].as_array()?;
        let serving = edges.iter().filter(|edge| !edge["backend"].is_null());
        (serving.count() == count).then_some(())
    });
    done.with_context(|| format!("{:#?}", scene.status()))
}
