// SPDX-License-Identifier: MIT OR Apache-2.0
//! Session affinity between real sockets: who stays, for how long, and who moves on.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tests::{
    netns::RpFilter,
    traffic::{Connection, Route},
    wait,
};

use crate::scene::{PATIENCE, Scene};

/// Longer than the pauses between a client's flows, on a busy machine too, and shorter than all of
/// them together.
const TIMEOUT_S: u32 = 4;
/// Between two flows of a client that stays.
const PACE: Duration = Duration::from_millis(250);
const FLOWS: u32 = 20;
/// With three backends, a client comes back to the one that it had 12 times in a row in one of
/// 500,000 cases.
const ROUNDS: u32 = 12;

#[test]
fn a_client_stays_until_its_time_is_over() -> anyhow::Result<()> {
    let scene = sticky(TIMEOUT_S)?;
    let mut first = Vec::new();
    for route in scene.routes() {
        first.push(answering(&scene, route)?);
    }
    // Each flow begins the time anew, or it would be over before the last.
    for number in 0..FLOWS {
        wait::pass(PACE);
        for (route, pod) in scene.routes().into_iter().zip(&first) {
            assert_eq!(
                answering(&scene, route)?,
                *pod,
                "flow {number} of {route:?}"
            );
        }
    }
    // From now on, a pause is long enough. If the Service were not followed live, each round would
    // keep the client where it is.
    scene.stick(1)?;
    let mut reached: Vec<BTreeSet<String>> = vec![BTreeSet::new(); first.len()];
    for _round in 0..ROUNDS {
        wait::pass(Duration::from_millis(1_200));
        for (route, pods) in scene.routes().into_iter().zip(&mut reached) {
            pods.insert(answering(&scene, route)?);
        }
        if reached.iter().all(|pods| pods.len() > 1) {
            return Ok(());
        }
    }
    anyhow::bail!("{ROUNDS} times after its time, the client came to {reached:?}");
}

#[test]
fn a_client_whose_backend_goes_moves_on_and_stays_there() -> anyhow::Result<()> {
    let scene = sticky(10_800)?;
    for route in scene.routes() {
        let first = answering(&scene, route)?;
        let pod = scene.backends.iter().find(|pod| pod.name == first);
        let pod = pod.context("an unknown pod")?;
        scene.forget(pod)?;
        let second = wait::until("another pod to answer", PATIENCE, || {
            answering(&scene, route).ok().filter(|pod| *pod != first)
        })?;
        assert_eq!(answering(&scene, route)?, second, "{route:?}");
        scene.label(pod, "web")?;
        scene.wait_for_backends(3)?;
        for _flow in 0..5 {
            assert_eq!(
                answering(&scene, route)?,
                second,
                "{route:?}, with the first back"
            );
        }
    }
    Ok(())
}

/// Three backends behind a Service with affinity.
fn sticky(seconds: u32) -> anyhow::Result<Scene> {
    let mut scene = Scene::set(3, RpFilter::Off)?;
    scene.stick(seconds)?;
    scene.start_agent(&[])?;
    scene.wait_for_backends(3)?;
    Ok(scene)
}

/// Who answers a new flow.
fn answering(scene: &Scene, route: Route) -> anyhow::Result<String> {
    let from = SocketAddr::new(route.from, 0);
    let asked = scene.client.namespace.block_on(|| async move {
        let mut flow = Connection::open(route.protocol, from, route.target, 0).await?;
        flow.exchange().await
    });
    Ok(asked??.pod)
}
