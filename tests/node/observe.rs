// SPDX-License-Identifier: MIT OR Apache-2.0
//! Probes and metrics of the real agent, asked from its own node and from a pod.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use tests::{
    netns::Namespace,
    openmetrics::{self, Sample},
    traffic::{Burst, burst},
    wait,
};

use crate::scene::Scene;

const PROBES: &str = "127.0.0.1:10256";
const METRICS: &str = "127.0.0.1:10249";

/// What an URL answers; an error for anything but success.
pub(crate) fn curl(from: &Namespace, url: &str) -> anyhow::Result<String> {
    let mut command: Command = from.command("curl");
    command.args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "10",
        url,
    ]);
    let output = command.output().context("starting curl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{url}: {}", said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

fn scrape(scene: &Scene) -> anyhow::Result<Vec<Sample>> {
    let url = format!("http://{METRICS}/metrics");
    openmetrics::parse(&curl(&scene.node.namespace, &url)?)
}

#[test]
fn the_agent_tells_what_it_does() -> anyhow::Result<()> {
    let flags = [
        "--healthz-bind-address",
        PROBES,
        "--metrics-bind-address",
        METRICS,
        "--flows",
        "64",
        // How often packets end so is counted below.
        "--direct-delivery=off",
    ];
    let mut scene = Scene::with_agent(2, &flags)?;
    let ready = format!("http://{PROBES}/readyz");
    wait::until("readiness", Duration::from_secs(30), || {
        curl(&scene.node.namespace, &ready).ok()
    })?;
    let status = scene.status()?;
    let not_served = status["not_served"].to_string();
    ensure!(not_served.contains("processes of the node"), "{status:#}");
    let before = scrape(&scene)?;
    let value = |samples: &[Sample], name: &str, labels: &[(&str, &str)]| {
        let found = openmetrics::value(samples, name, labels);
        found.with_context(|| format!("{name} {labels:?} is not told"))
    };
    for (name, label, number) in [
        ("weiche_services", ("state", "programmed"), 1.0),
        // Both families; both protocols, and the address.
        ("weiche_map_entries", ("map", "frontends_v4"), 3.0),
        ("weiche_map_entries", ("map", "frontends_v6"), 3.0),
        ("weiche_map_capacity_entries", ("map", "flows_v4"), 64.0),
        (
            "weiche_map_capacity_entries",
            ("map", "half_open_v6"),
            32_768.0,
        ),
    ] {
        let found = openmetrics::value(&before, name, &[label]);
        assert_eq!(found, Some(number), "{name} {label:?}");
    }
    let starts = |samples: &[Sample]| openmetrics::value(samples, "weiche_starts_total", &[]);
    assert_eq!(starts(&before), Some(1.0));
    let route = scene.routes()[0];
    let report = scene
        .client
        .namespace
        .block_on(|| burst(Burst::of(route, 16)))?;
    scene.check(&report)?;
    // Flows are counted at most every five seconds.
    let after = wait::until("flows in the metrics", Duration::from_secs(30), || {
        let samples = scrape(&scene).ok()?;
        let flows = openmetrics::value(&samples, "weiche_map_entries", &[("map", "flows_v4")]);
        (flows >= Some(16.0)).then_some(samples)
    })?;
    let labels = [("hook", "ingress"), ("reason", "forwarded")];
    let packets = |samples: &[Sample]| value(samples, "weiche_packets_total", &labels);
    ensure!(packets(&after)? >= packets(&before)? + 16.0);
    let pressure = value(&after, "weiche_map_pressure", &[("map", "flows_v4")])?;
    ensure!((0.25..=1.0).contains(&pressure), "{pressure}");
    scene.kill_agent()?;
    scene.start_agent(&flags)?;
    let next = wait::until("the next agent", Duration::from_secs(30), || {
        scrape(&scene).ok()
    })?;
    assert_eq!(starts(&next), Some(2.0));
    Ok(())
}
