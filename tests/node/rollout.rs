// SPDX-License-Identifier: MIT OR Apache-2.0
//! A rolling replacement of all pods: each old one is to end as soon as a new one is ready. It
//! keeps its flows, and gets no new ones while there is somebody else.

use std::collections::BTreeSet;

use anyhow::ensure;
use tests::{
    netns::RpFilter,
    traffic::{Burst, Load, Server, burst},
};

use crate::scene::{Life, Scene};

/// Old pods, and as many new ones.
const PODS: usize = 3;
/// Flows that stay open all the while, of both families and protocols.
const OPEN: u64 = 40;
/// New flows each second.
const PER_SECOND: u64 = 100;

#[test]
fn all_backends_are_replaced_one_by_one() -> anyhow::Result<()> {
    replace(false)
}

#[test]
fn all_backends_of_clients_that_stay_are_replaced_one_by_one() -> anyhow::Result<()> {
    replace(true)
}

fn replace(is_sticky: bool) -> anyhow::Result<()> {
    let mut scene = Scene::set(u16::try_from(PODS)?, RpFilter::Off)?;
    if is_sticky {
        scene.stick(10_800)?;
    }
    scene.start_agent(&[])?;
    scene.wait_for_backends(PODS)?;
    let load = Load::start(&scene.client.namespace, scene.routes(), OPEN, PER_SECOND)?;
    for old in 0..PODS {
        scene.add_backend()?;
        scene.wait_for_backends(PODS + 1)?;
        scene.set_life(&scene.backends[old], Life::Terminating)?;
        scene.wait_for_backends(PODS)?;
        // Whoever began before that may still be at it.
        load.wait_for(30)?;
        let known: Vec<_> = scene.servers[..=old].iter().map(connections).collect();
        load.wait_for(60)?;
        for (server, known) in scene.servers.iter().zip(known) {
            let new: Vec<_> = connections(server).difference(&known).copied().collect();
            ensure!(new.is_empty(), "new flows to a pod that is to end: {new:?}");
        }
        let round = u64::try_from(old)?;
        reach(&scene, 10 + round, old + 1..old + 1 + PODS)?;
    }
    // All of them are open to this day, and their pods serve them.
    scene.check(&load.stop()?)?;
    for old in 0..PODS {
        scene.forget(&scene.backends[old])?;
        scene.node.remove_pod(&scene.backends[old])?;
    }
    scene.wait_for_backends(PODS)?;
    reach(&scene, 1, PODS..2 * PODS)?;

    // Now the new ones are to end, and nobody comes in their place: the last one brings all back.
    for (left, pod) in [2, 1, PODS].into_iter().zip(&scene.backends[PODS..]) {
        scene.set_life(pod, Life::Terminating)?;
        scene.wait_for_backends(left)?;
    }
    reach(&scene, 2, PODS..2 * PODS)?;
    scene.set_life(&scene.backends[PODS], Life::Ready)?;
    scene.wait_for_backends(1)?;
    reach(&scene, 3, PODS..PODS + 1)
}

/// The TCP connections that a server has seen: the first half of four routes that take turns. A
/// datagram of the load's may be of an old flow, where its socket has got the port of another that
/// is closed; [`reach`] sends some from ports of its own.
fn connections(server: &Server) -> BTreeSet<u64> {
    let ids = server.log().into_keys();
    ids.filter(|id| id % 4 < 2 && *id < REACH).collect()
}

/// Ids from here on are those of [`reach`].
const REACH: u64 = 1_000_000;

/// That new flows reach these pods, none other, and none fails.
fn reach(scene: &Scene, round: u64, pods: std::ops::Range<usize>) -> anyhow::Result<()> {
    let names: BTreeSet<_> = scene.backends[pods].iter().map(|pod| &pod.name).collect();
    for (number, route) in (0_u64..).zip(scene.routes()) {
        let first = REACH * round + number * 100;
        // Below those that the kernel gives to the load's, and others in each round.
        let first_port = 10_000 + u16::try_from(round)? * 400 + u16::try_from(number)? * 100;
        let few = Burst {
            first_port: Some(first_port),
            ..Burst::of(route, 50).first_id(first)
        };
        let report = scene.client.namespace.block_on(|| burst(few))?;
        scene.check(&report)?;
        let strays: Vec<_> = report
            .pods
            .keys()
            .filter(|pod| !names.contains(pod))
            .collect();
        ensure!(strays.is_empty(), "{route:?} has reached {strays:?}");
    }
    Ok(())
}
