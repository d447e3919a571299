// SPDX-License-Identifier: MIT OR Apache-2.0
//! The main job: what a client sends to a Cluster-IP is answered by one of the Service's pods.

use serde_json::json;
use tests::{
    figures,
    netns::RpFilter,
    observer::Observer,
    traffic::{Burst, Protocol, burst},
};

use crate::scene::Scene;

/// Even shares within this, as a fraction of the even one.
const UNEVEN: f64 = 0.05;

#[test]
fn every_connection_is_answered_and_shares_are_even() {
    figures::check("cluster-ip-connections", |run| {
        let scene = Scene::with_agent(3, &[])?;
        let mut worst: f64 = 0.0;
        for (number, route) in (0..).zip(scene.routes()) {
            let report = scene.client.namespace.block_on(|| {
                burst(Burst {
                    first_id: number * run.size,
                    // Chance is in the ports: these are the same in every run.
                    first_port: Some(20_000),
                    ..Burst::of(route, run.size)
                })
            })?;
            scene.check(&report)?;
            let imbalance = report.imbalance(3);
            anyhow::ensure!(imbalance <= UNEVEN, "{route:?}: {:?}", report.pods);
            worst = worst.max(imbalance);
        }
        Ok(vec![
            ("failed", json!(0)),
            ("largest imbalance", json!(worst)),
        ])
    });
}

#[test]
fn reverse_path_filters_do_not_matter() -> anyhow::Result<()> {
    for rp_filter in [RpFilter::Off, RpFilter::Strict, RpFilter::Loose] {
        let mut scene = Scene::set(2, rp_filter)?;
        scene.start_agent(&[])?;
        scene.wait_for_backends(2)?;
        for (number, route) in (0..).zip(scene.routes()) {
            let few = Burst::of(route, 100).first_id(number * 100);
            let report = scene.client.namespace.block_on(|| burst(few))?;
            scene.check(&report)?;
            assert_eq!(report.pods.len(), 2, "{rp_filter:?} {route:?}");
        }
    }
    Ok(())
}

#[test]
fn checksums_on_the_wire_are_right() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    let [backend] = scene.backends.as_slice() else {
        anyhow::bail!("one backend");
    };
    for pod in [&scene.client, backend] {
        pod.namespace.tx_offload_off("eth0")?;
        scene.node.namespace.tx_offload_off(&pod.link)?;
    }
    let observe = |at| Observer::start(&scene.lab, at, "eth0", "tcp or udp");
    let observers = [
        observe(&scene.client.namespace)?,
        observe(&backend.namespace)?,
    ];
    let mut flows = 0;
    for (number, route) in (0..).zip(scene.routes()) {
        let few = Burst::of(route, 50).first_id(number * 50);
        let report = scene.client.namespace.block_on(|| burst(few))?;
        scene.check(&report)?;
        // At least one packet in each direction, for TCP more.
        flows += match route.protocol {
            Protocol::Tcp => 50 * 8,
            Protocol::Udp => 50 * 2,
        };
    }
    for observer in observers {
        let (complaints, right) = observer.stop()?.checksums()?;
        assert_eq!(complaints, [""; 0]);
        assert!(right >= flows, "{right} of at least {flows} packets");
    }
    Ok(())
}
