// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kube-proxy serves the node, then we do: no connection breaks, and its rules go last.
//!
//! Rules of the shape that kube-proxy's nftables mode writes stand for it: what matters is that
//! they translate in netfilter, with conntrack.

use crate::scene::{self, POD_PORT, PORT, Scene};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    process::{Command, Output},
    time::Duration,
};
use tests::{
    figures,
    netns::{Namespace, RpFilter},
    traffic::{Load, Protocol},
    wait,
};

/// Flows that stay open all the time, and new ones each second.
const OPEN: u64 = 200;
const PER_SECOND: u64 = 500;

/// So that a test need not wait minutes until conntrack has forgotten a connection.
const TIMEOUTS: [&str; 5] = [
    "udp_timeout",
    "udp_timeout_stream",
    "tcp_timeout_time_wait",
    "tcp_timeout_last_ack",
    "tcp_timeout_close",
];

#[test]
fn taking_over_from_kube_proxy_breaks_nothing() {
    figures::check("taken-over", |run| {
        let mut scene = Scene::set(3, RpFilter::Off)?;
        let node = &scene.node.namespace;
        for timeout in TIMEOUTS {
            node.sysctl(&format!("net/netfilter/nf_conntrack_{timeout}"), "3")?;
        }
        feed(node, &rules(&scene)?)?;
        let load = Load::start(&scene.client.namespace, scene.routes(), OPEN, PER_SECOND)?;
        let quarter = usize::try_from(run.size / 4)?;
        load.wait_for(quarter)?;
        scene.start_agent(&["--flows", "65536", "--direct-delivery=off"])?;
        wait_for(&scene, "to serve beside netfilter", |status| {
            status["takeover"]["flows"].as_u64() >= Some(OPEN)
        })?;
        load.wait_for(quarter)?;
        // It can die on the way.
        scene.kill_agent()?;
        load.wait_for(quarter)?;
        scene.start_agent(&["--flows", "131072", "--direct-delivery=off"])?;
        load.wait_for(quarter)?;
        let refused = cleanup(&scene)?;
        let said = String::from_utf8_lossy(&refused.stderr);
        ensure!(
            !refused.status.success() && said.contains("netfilter still translates"),
            "rules in use were not spared: {said}"
        );
        let foreign = flows_left(&scene)?;
        let report = load.stop()?;
        scene.check(&report)?;
        let counted = |reason: &str| packets(&scene, reason);
        let [spared, ours] = [counted("foreign")?, counted("forwarded")?];
        ensure!(spared > 0 && ours > 0, "{spared} spared, {ours} forwarded");

        wait_for(&scene, "to have taken over", |status| {
            status["takeover"]["flows"] == 0 && status["takeover"]["observing"] == false
        })?;
        let removed = cleanup(&scene)?;
        ensure!(removed.status.success(), "the rules stay: {removed:?}");
        let load = Load::start(&scene.client.namespace, scene.routes(), 20, PER_SECOND)?;
        load.wait_for(quarter)?;
        let after = load.stop()?;
        ensure!(after.failures.is_empty(), "then: {:?}", after.failures);
        Ok(vec![
            ("failed", json!(0)),
            ("flows", json!(report.sent.len() + after.sent.len())),
            ("left_to_netfilter_at_last", json!(foreign)),
            ("packets_left_to_netfilter", json!(spared)),
        ])
    });
}

/// What kube-proxy's nftables mode would write for the scene's Service.
fn rules(scene: &Scene) -> anyhow::Result<String> {
    let mut text = String::new();
    for (family, kind) in [("ip", "ipv4_addr"), ("ip6", "ipv6_addr")] {
        let (mut elements, mut chains) = (Vec::new(), String::new());
        for route in scene.routes() {
            let address = route.target.ip();
            if address.is_ipv4() != (family == "ip") {
                continue;
            }
            let protocol = match route.protocol {
                Protocol::Tcp => "tcp",
                Protocol::Udp => "udp",
            };
            elements.push(format!(
                "{address} . {protocol} . {PORT} : goto service-{protocol}"
            ));
            let mut choices = Vec::new();
            for (number, pod) in scene.backends.iter().enumerate() {
                let pod = match family {
                    "ip" => format!("{}:{POD_PORT}", pod.v4),
                    _ => format!("[{}]:{POD_PORT}", pod.v6),
                };
                choices.push(format!("{number} : goto endpoint-{number}-{protocol}"));
                writeln!(
                    chains,
                    "chain endpoint-{number}-{protocol} {{\nmeta l4proto {protocol} dnat to {pod}\n}}"
                )?;
            }
            writeln!(
                chains,
                "chain service-{protocol} {{\nnumgen random mod {} vmap {{ {} }}\n}}",
                choices.len(),
                choices.join(", ")
            )?;
        }
        writeln!(
            text,
            "table {family} kube-proxy {{\n\
             map service-ips {{\ntype {kind} . inet_proto . inet_service : verdict\n\
             elements = {{ {} }}\n}}\n{chains}\
             chain services {{\n{family} daddr . meta l4proto . th dport vmap @service-ips\n}}\n\
             chain nat-prerouting {{\ntype nat hook prerouting priority dstnat; policy accept;\n\
             jump services\n}}\n\
             chain masquerading {{\nmeta mark and 0x4000 == 0x4000 masquerade\n}}\n\
             chain nat-postrouting {{\ntype nat hook postrouting priority srcnat; policy accept;\n\
             jump masquerading\n}}\n}}",
            elements.join(", ")
        )?;
    }
    Ok(text)
}

/// Loads rules in a namespace.
fn feed(namespace: &Namespace, rules: &str) -> anyhow::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), rules)?;
    let mut nft = namespace.command("nft");
    let output = nft.arg("-f").arg(file.path()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "nft: {said}\n{rules}");
    Ok(())
}

/// `weiche cleanup --kube-proxy` on the node.
fn cleanup(scene: &Scene) -> anyhow::Result<Output> {
    let program = scene::program()?
        .into_string()
        .ok()
        .context("a path in UTF-8")?;
    let mut command: Command = scene.node.namespace.command(&program);
    command.args(["cleanup", "--kube-proxy", "--pin-dir"]);
    command.arg(&scene.weiche.pins);
    Ok(command.output()?)
}

fn wait_for(scene: &Scene, what: &str, done: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
    let waited = wait::until(what, Duration::from_secs(60), || {
        let report = report(scene).ok()?;
        done(&report["status"]).then_some(())
    });
    waited.with_context(|| scene.last_words())
}

fn flows_left(scene: &Scene) -> anyhow::Result<u64> {
    let flows = &report(scene)?["status"]["takeover"]["flows"];
    flows.as_u64().context("no count")
}

fn packets(scene: &Scene, reason: &str) -> anyhow::Result<u64> {
    let report = report(scene)?;
    let counts = report["packets"].as_array().context("no counts")?;
    let of_reason = counts.iter().filter(|count| count["reason"] == reason);
    Ok(of_reason
        .filter_map(|count| count["packets"].as_u64())
        .sum())
}

/// What `weiche status -o json` prints.
fn report(scene: &Scene) -> anyhow::Result<Value> {
    let mut command = Command::new(&scene.weiche.program);
    command.args(["status", "-o", "json"]);
    let output = command.envs(scene.weiche.variables()).output()?;
    serde_json::from_slice(&output.stdout).context("reading the status")
}
