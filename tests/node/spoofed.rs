// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients that do not exist dial a Service with affinity, more of them than there is room for:
//! those that do exist keep their backend, new ones are served without one of their own, which is
//! counted, and nothing that is open breaks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::{
    figures::{self, Run},
    netns::Pod,
    packet::tcp,
    traffic::{Connection, Load, Protocol, Route},
    wait,
};

use crate::{
    attacker::{Attacker, serve, wait_for_edges},
    scene::Scene,
};

/// Room for affinities: two of each family are real clients'.
const ROOM: u64 = 256;
/// Flows of a client that has a backend.
const FLOWS: u32 = 10;
const BATCH: u64 = 64;

#[test]
fn clients_that_do_not_exist_take_nobodys_backend() {
    figures::check("spoofed-affinity", spoof);
}

fn spoof(run: Run) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let (mut scene, attacker) = Attacker::set(3)?;
    scene.stick(10_800)?;
    serve(&mut scene, &["--affinity", &ROOM.to_string()])?;
    let routes = scene.routes();
    let mut known = Vec::new();
    for route in &routes {
        known.push(answering(&scene, &scene.client, *route)?);
    }
    let load = Load::start(&scene.client.namespace, routes.clone(), 20, 0)?;
    let mut number = 0;
    while number < run.size {
        let frames: Vec<Vec<u8>> = (number..number + BATCH)
            .map(|one| syn(&routes, one))
            .collect();
        attacker.sends_all(&frames)?;
        number += BATCH;
    }
    for flow in 0..FLOWS {
        for (route, pod) in routes.iter().zip(&known) {
            let found = answering(&scene, &scene.client, *route)?;
            ensure!(
                found == *pod,
                "flow {flow} of {route:?}: {found} instead of {pod}"
            );
        }
    }
    // One that nobody knows yet is served all the same.
    let before = scene.counted("ingress", "unpinned")?;
    let stranger = scene.node.add_pod(&scene.lab, "stranger", 4)?;
    wait_for_edges(&scene, 7)?;
    for route in &routes {
        let from = if route.from.is_ipv4() {
            stranger.v4.into()
        } else {
            stranger.v6.into()
        };
        answering(&scene, &stranger, Route { from, ..*route })?;
    }
    let unpinned = scene.counted("ingress", "unpinned")?;
    ensure!(
        unpinned == before + 4,
        "{before} before, {unpinned} after four new clients"
    );
    let lost = run.size.saturating_sub(2 * ROOM);
    ensure!(unpinned >= lost, "{unpinned} of {lost} are counted");
    alarm(&scene)?;
    let report = load.stop()?;
    ensure!(report.failures.is_empty(), "{:#?}", report.failures);
    Ok(vec![
        ("clients that lost their backend", json!(0)),
        ("open flows that broke", json!(0)),
        ("clients without one, counted", json!(unpinned)),
    ])
}

/// A SYN of a client that does not exist, each of another.
fn syn(routes: &[Route], number: u64) -> Vec<u8> {
    let [.., third, high, low] = number.to_be_bytes();
    let is_v4 = number.is_multiple_of(2);
    let of_family =
        |route: &&Route| route.protocol == Protocol::Tcp && route.target.is_ipv4() == is_v4;
    let route = routes
        .iter()
        .find(of_family)
        .expect("a route of each family");
    let address = if is_v4 {
        // Half of RFC 2544's, and what follows.
        IpAddr::from(Ipv4Addr::new(198, 18 + third, high, low))
    } else {
        let [third, high, low] = [third, high, low].map(u16::from);
        IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, third, high, low))
    };
    let client = SocketAddr::new(address, 50_000);
    tcp(client, route.target).syn().bytes()
}

/// The agent says that there is no room left.
fn alarm(scene: &Scene) -> anyhow::Result<()> {
    wait::until(
        "an alarm for both families",
        std::time::Duration::from_secs(20),
        || {
            let status = scene.status().ok()?;
            let pressed = status["status"]["pressed"].as_array()?;
            let is_pressed = |map: &&str| pressed.iter().any(|one| one["map"] == **map);
            ["affinity_v4", "affinity_v6"]
                .iter()
                .all(is_pressed)
                .then_some(())
        },
    )
}

/// Who answers a new flow of a pod's.
fn answering(scene: &Scene, pod: &Pod, route: Route) -> anyhow::Result<String> {
    let from = SocketAddr::new(route.from, 0);
    let asked = pod.namespace.block_on(|| async move {
        let mut flow = Connection::open(route.protocol, from, route.target, u64::MAX).await?;
        flow.exchange().await
    });
    let answer = asked?.with_context(|| format!("{route:?}, {}", scene.last_words()))?;
    Ok(answer.pod)
}
