// SPDX-License-Identifier: MIT OR Apache-2.0
//! Direct delivery: translated packets reach pods and neighbours past the host's stack, and what
//! must go through it does.

use std::fs;

use anyhow::{Context as _, ensure};
use tests::{
    netns::{Node, RpFilter},
    traffic::{Burst, Protocol, burst},
};

use crate::{scene::Scene, untranslated::Untranslated};

/// Flows of a burst.
const FLOWS: u64 = 50;

/// How many packets the node's stack has sent on so far, of each family, by its own counters.
pub(crate) fn sent_on(node: &Node) -> anyhow::Result<[u64; 2]> {
    node.namespace.run(|| {
        let read = |file| fs::read_to_string(format!("/proc/thread-self/net/{file}"));
        let text = read("snmp")?;
        // A line of names, and one of numbers.
        let mut lines = text.lines().filter(|line| line.starts_with("Ip:"));
        let (names, numbers) = lines.next().zip(lines.next()).context("no counters")?;
        let mut both = names.split(' ').zip(numbers.split(' '));
        let v4 = both.find(|(name, _)| *name == "ForwDatagrams");
        let text = read("snmp6")?;
        let v6 = text
            .lines()
            .find_map(|line| line.strip_prefix("Ip6OutForwDatagrams"));
        let number = |text: &str| text.trim().parse().context("reading a counter");
        let v4 = v4.context("no counter of IPv4")?.1;
        Ok([number(v4)?, number(v6.context("no counter of IPv6")?)?])
    })?
}

#[test]
fn packets_between_pods_pass_the_stack_by() -> anyhow::Result<()> {
    for rp_filter in [RpFilter::Off, RpFilter::Strict] {
        let mut scene = Scene::set(2, rp_filter)?;
        scene.start_agent(&["--direct-delivery=on"])?;
        scene.wait_for_backends(2)?;
        let watch = Untranslated::watch(&scene)?;
        let before = sent_on(&scene.node)?;
        for (number, route) in (0..).zip(scene.routes()) {
            let report = scene.client.namespace.block_on(|| {
                burst(Burst {
                    first_id: number * FLOWS,
                    ..Burst::of(route, FLOWS)
                })
            })?;
            // Each answer says who was seen: the source is the client's own.
            scene.check(&report)?;
            if route.protocol == Protocol::Tcp {
                ensure!(scene.counted("ingress", "forwarded_directly")? > 0);
            }
        }
        let after = sent_on(&scene.node)?;
        let there = scene.counted("ingress", "forwarded_directly")?;
        let back = scene.counted("ingress", "replied_directly")?;
        ensure!(there > 4 * FLOWS && back > 4 * FLOWS, "{there} and {back}");
        // Until a pod's station is known, and what nobody has asked for: a handful.
        for (before, after) in before.into_iter().zip(after) {
            let stack = after - before;
            ensure!(stack < 20, "the stack has sent on {stack} packets");
        }
        watch.none(&scene)?;
    }
    Ok(())
}
