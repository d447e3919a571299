// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flows end without an agent: the kernel's tables do not fill up.

use serde::Deserialize;
use serde_json::json;
use tests::{
    figures,
    traffic::{Load, Protocol},
};

use crate::scene::Scene;

/// New flows each second.
const PER_SECOND: u64 = 500;

/// One flow of `weiche flow list -o json`, as far as it is counted.
#[derive(Debug, Deserialize)]
struct Listed {}

#[test]
fn no_table_fills_up_while_the_agent_is_dead() {
    figures::check("agent-dead-udp-churn", |run| {
        let (timeout_s, tombstone_s) = (run.size, run.size / 3);
        let flows = PER_SECOND * timeout_s * 3;
        // More than are there at a time, less than there are in all.
        let room = PER_SECOND * (timeout_s + tombstone_s) * 3 / 2;
        anyhow::ensure!(
            room < flows,
            "room for {room} flows would do without expiry"
        );
        let (timeout, tombstone) = (format!("{timeout_s}s"), format!("{tombstone_s}s"));
        let room = room.to_string();
        let mut flags = vec!["--flows", &room, "--conntrack-tombstone", &tombstone];
        flags.extend(["--conntrack-udp-timeout", &timeout]);
        flags.extend(["--conntrack-udp-timeout-stream", &timeout]);
        let mut scene = Scene::with_agent(3, &flags)?;
        let mut routes = scene.routes();
        routes.retain(|route| route.protocol == Protocol::Udp && route.from.is_ipv4());
        scene.kill_agent()?;
        let load = Load::start(&scene.client.namespace, routes, 0, PER_SECOND)?;
        load.wait_for(usize::try_from(flows)?)?;
        let report = load.stop()?;
        scene.check(&report)?;
        let left: Vec<Listed> = scene.weiche.list(&["flow", "list"])?;
        Ok(vec![
            ("flows", json!(report.sent.len())),
            ("failed", json!(0)),
            ("flows in the table at the end", json!(left.len())),
            ("room", json!(room)),
        ])
    });
}
