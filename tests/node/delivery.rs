// SPDX-License-Identifier: MIT OR Apache-2.0
//! Direct delivery: translated packets reach pods and neighbours past the host's stack, and what
//! must go through it does.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use aya::programs::TcAttachType::Ingress;
use tests::{
    foreign::{Foreign, Stand, Then},
    netns::{Node, RpFilter},
    traffic::{Burst, Protocol, burst},
    wait,
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
        // On a slow machine a whole burst begins before its pods' stations are known.
        for (number, route) in (4..).zip(scene.routes()) {
            let flows = Burst {
                first_id: number * FLOWS,
                ..Burst::of(route, FLOWS)
            };
            let report = scene.client.namespace.block_on(|| burst(flows))?;
            scene.check(&report)?;
        }
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
        // What nobody has asked for: a handful.
        for (before, after) in before.into_iter().zip(after) {
            let stack = after - before;
            ensure!(stack < 20, "the stack has sent on {stack} packets");
        }
        watch.none(&scene)?;
    }
    Ok(())
}

/// For the agent to look again, on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Until packets go through the stack again after somebody has come who must see them.
const SOON: Duration = Duration::from_secs(1);

/// Somebody who comes, what must be said of it, and how it goes: programs to run on the node.
type Comer = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const COMERS: [Comer; 8] = [
    (
        "netfilter",
        &[
            "nft add table inet other",
            "nft add chain inet other c {type filter hook forward priority 0;}",
        ],
        &["nft delete table inet other"],
    ),
    (
        "netfilter",
        &[
            "nft add table netdev other",
            "nft add chain netdev other c {type filter hook ingress device veth2 priority 0;}",
        ],
        &["nft delete table netdev other"],
    ),
    (
        "foreign_program",
        &["tc qdisc add dev veth11 root tbf rate 1gbit burst 1mbit latency 1s"],
        &["tc qdisc del dev veth11 root"],
    ),
    (
        "forwarding",
        &["sysctl -qw net.ipv6.conf.all.forwarding=0"],
        &["sysctl -qw net.ipv6.conf.all.forwarding=1"],
    ),
    (
        "ipsec",
        &["ip xfrm policy add src 10.244.0.0/16 dst 10.99.0.0/16 dir fwd"],
        &["ip xfrm policy flush"],
    ),
    (
        "route_mtu",
        &["ip route replace 10.244.0.11/32 dev veth11 mtu 1280"],
        &["ip route replace 10.244.0.11/32 dev veth11"],
    ),
    (
        "port_rule",
        &["ip -6 rule add dport 80 table main"],
        &["ip -6 rule del dport 80 table main"],
    ),
    // Its tables stay once they are there, and so this one comes last.
    ("netfilter", &["iptables-legacy -A FORWARD -j ACCEPT"], &[]),
];

#[test]
fn auto_sends_packets_past_the_stack_while_nobody_there_would_see_them() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &["--direct-delivery=auto"])?;
    wait_for(&scene, None)?;
    let bpffs = scene.weiche.pins.parent().context("no bpffs")?;
    let namespace = &scene.node.namespace;
    let program = || {
        Foreign::attach(
            namespace,
            bpffs,
            "veth2",
            Ingress,
            Stand::TcxFirst,
            Then::Pass,
        )
    };
    let since = Instant::now();
    let program = program()?;
    wait_for(&scene, Some("foreign_program"))?;
    check("a program by tcx", since.elapsed())?;
    program.take_off(namespace)?;
    wait_for(&scene, None)?;
    for (why, come, go) in COMERS {
        let since = Instant::now();
        run(&scene.node, come)?;
        wait_for(&scene, Some(why))?;
        check(why, since.elapsed())?;
        // What is said is what is done: not a packet passes by.
        let before = scene.counted("ingress", "forwarded_directly")?;
        for route in scene.routes() {
            if why != "forwarding" || route.from.is_ipv4() {
                let burst = || burst(Burst::of(route, FLOWS));
                let report = scene.client.namespace.block_on(burst)?;
                ensure!(report.failures.is_empty(), "{:?}", report.failures);
            }
        }
        let after = scene.counted("ingress", "forwarded_directly")?;
        ensure!(before == after, "{} passed by ({why})", after - before);
        run(&scene.node, go)?;
        if !go.is_empty() {
            wait_for(&scene, None)?;
        }
    }
    Ok(())
}

/// Waits until packets go past the stack, or through it because of this.
pub(crate) fn wait_for(scene: &Scene, why: Option<&str>) -> anyhow::Result<()> {
    let what = format!("direct delivery, or none because of {why:?}");
    let done = wait::until(&what, PATIENCE, || {
        let direct = scene.status().ok()?["status"]["direct"].clone();
        let obstacles = direct["obstacles"].as_array()?;
        let said = obstacles.iter().map(|obstacle| obstacle["why"].as_str());
        let is_so = match why {
            None => direct["on"] == true,
            Some(why) => direct["on"] == false && said.clone().any(|said| said == Some(why)),
        };
        is_so.then_some(())
    });
    done.with_context(|| format!("{:?}; {}", scene.status(), scene.last_words()))
}

fn check(who: &str, took: Duration) -> anyhow::Result<()> {
    println!("{who}: through the stack after {} ms", took.as_millis());
    let is_emulated = tests::guest::is_emulated();
    ensure!(took < SOON || is_emulated, "{who}: only after {took:?}");
    Ok(())
}

/// Runs programs on the node.
pub(crate) fn run(node: &Node, lines: &[&str]) -> anyhow::Result<()> {
    for line in lines {
        let (program, rest) = line.split_once(' ').context("no arguments")?;
        // nft joins its arguments itself; what is in braces stays together.
        let status = node
            .namespace
            .command(program)
            .args(rest.split(' '))
            .status()?;
        ensure!(status.success(), "{line}: {status}");
    }
    Ok(())
}
