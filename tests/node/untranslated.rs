// SPDX-License-Identifier: MIT OR Apache-2.0
//! Observers where a packet must never appear as it was: pods' addresses as sources at the client,
//! the Service's address as a destination beyond the uplink.

use std::net::SocketAddr;

use anyhow::ensure;
use tests::{
    netns::Node,
    observer::{Observer, Seen},
    traffic::{Burst, Protocol, Route, burst},
};

use crate::scene::{POD_PORT, PORT, Scene, V4, V6};

/// Both of them, from their making on.
#[derive(Debug)]
pub(crate) struct Untranslated {
    at_client: Observer,
    beyond_uplink: Observer,
}

impl Untranslated {
    /// Starts to look.
    pub(crate) fn watch(scene: &Scene) -> anyhow::Result<Self> {
        let (v4, v6) = (scene.client.v4, scene.client.v6);
        let from_pods = format!(
            "(tcp or udp) and ((src net 10.244.0.0/16 and not src host {v4}) \
             or (src net fd00:10:244::/64 and not src host {v6}))"
        );
        let to_service = format!("dst host {V4} or dst host {V6}");
        let client = &scene.client.namespace;
        let outside = &scene.node.outside.namespace;
        Ok(Self {
            at_client: Observer::start(&scene.lab, client, "eth0", &from_pods)?,
            beyond_uplink: Observer::start(&scene.lab, outside, "eth0", &to_service)?,
        })
    }

    /// That nothing was seen, by observers who can see: each is shown one such packet at the end,
    /// which Weiche has no part in.
    pub(crate) fn none(self, scene: &Scene) -> anyhow::Result<()> {
        let (client, pod) = (&scene.client, &scene.backends[0]);
        // The pod itself is dialled, so it answers as itself.
        let direct = Route {
            protocol: Protocol::Udp,
            from: client.v4.into(),
            target: SocketAddr::new(pod.v4.into(), POD_PORT),
        };
        // From a port that no flow to a Service has used: the kernel's own are above 32,768.
        let once = |route| Burst {
            first_port: Some(20_000),
            ..Burst::of(route, 1).first_id(u64::MAX)
        };
        let report = client.namespace.block_on(|| burst(once(direct)))?;
        ensure!(report.failures.is_empty(), "{:?}", report.failures);
        // The node itself does not enter through an edge.
        let node = Route {
            protocol: Protocol::Udp,
            from: Node::V4.into(),
            target: SocketAddr::new(V4.into(), PORT),
        };
        scene.node.namespace.block_on(|| burst(once(node)))?;
        only(&self.at_client.stop()?.packets()?, |seen| {
            seen.source == pod.v4
        })?;
        only(&self.beyond_uplink.stop()?.packets()?, |seen| {
            seen.source == Node::V4
        })
    }
}

fn only(seen: &[Seen], shown: impl Fn(&Seen) -> bool) -> anyhow::Result<()> {
    let untranslated: Vec<_> = seen.iter().filter(|seen| !shown(seen)).collect();
    ensure!(
        untranslated.is_empty(),
        "left untranslated: {untranslated:?}"
    );
    ensure!(
        !seen.is_empty(),
        "an observer does not see what it is shown"
    );
    Ok(())
}
