// SPDX-License-Identifier: MIT OR Apache-2.0
//! Past the host's stack or through it: a pod cannot tell, neighbours are reached either way, and
//! what must go through does.

use std::net::{IpAddr, SocketAddr};

use anyhow::ensure;
use tests::{
    link::PacketSocket,
    netns::{Node, Outside, RpFilter},
    observer::Observer,
    packet::{Frame, udp},
    traffic::{Burst, Load, Protocol, Route, burst},
    wait,
};

use crate::{
    delivery::{PATIENCE, run, sent_on, wait_for},
    scene::{PORT, Scene, V4, V6},
    untranslated::Untranslated,
};

/// Flows that stay open while the way changes.
const OPEN: u64 = 200;
/// How often it changes, there and back.
const CHANGES: usize = 8;

#[test]
fn changing_the_way_interrupts_nothing() -> anyhow::Result<()> {
    let scene = Scene::with_agent(3, &["--direct-delivery=auto"])?;
    wait_for(&scene, None)?;
    let untranslated = Untranslated::watch(&scene)?;
    let load = Load::start(&scene.client.namespace, scene.routes(), OPEN, 100)?;
    for _change in 0..CHANGES {
        load.wait_for(100)?;
        // Without rules: it only stands where packets are sent on.
        run(
            &scene.node,
            &[
                "nft add table inet other",
                "nft add chain inet other c {type filter hook forward priority 0;}",
            ],
        )?;
        wait_for(&scene, Some("netfilter"))?;
        load.wait_for(100)?;
        run(&scene.node, &["nft delete table inet other"])?;
        wait_for(&scene, None)?;
    }
    load.wait_for(100)?;
    let report = load.stop()?;
    scene.check(&report)?;
    for (hook, reason) in [
        ("ingress", "forwarded"),
        ("egress", "replied"),
        ("ingress", "forwarded_directly"),
        ("ingress", "replied_directly"),
    ] {
        let count = scene.counted(hook, reason)?;
        ensure!(count > 1_000, "{count} {reason}");
    }
    untranslated.none(&scene)
}

#[test]
fn a_pod_cannot_tell_the_ways_apart() -> anyhow::Result<()> {
    let mut seen = Vec::new();
    for mode in ["off", "on"] {
        let scene = Scene::with_agent(1, &["--direct-delivery", mode])?;
        let burst = |route, first_id| {
            scene.client.namespace.block_on(|| {
                burst(Burst {
                    first_port: Some(30_000),
                    ..Burst::of(route, 10).first_id(first_id)
                })
            })
        };
        // Until then, stations are not known, and the stack asks for them.
        for (number, route) in (0..).zip(scene.routes()) {
            scene.check(&burst(route, number * 100)?)?;
        }
        let pod = &scene.backends[0];
        let at_pod = Observer::start(&scene.lab, &pod.namespace, "eth0", "udp")?;
        let at_client = Observer::start(&scene.lab, &scene.client.namespace, "eth0", "udp")?;
        for (number, route) in (10..).zip(scene.routes()) {
            if route.protocol == Protocol::Udp {
                scene.check(&burst(route, number * 100)?)?;
            }
        }
        let hops = [at_pod.stop()?, at_client.stop()?].map(|capture| {
            let frames = capture.frames.iter();
            let mut hops: Vec<_> = frames.filter_map(|frame| hops(frame)).collect();
            hops.sort_unstable();
            hops.dedup();
            hops
        });
        ensure!(hops.iter().all(|hops| hops.len() == 4), "{hops:?}");
        seen.push(hops);
        let directly = scene.counted("ingress", "replied_directly")?;
        ensure!((directly > 0) == (mode == "on"), "{directly} with {mode}");
    }
    ensure!(seen[0] == seen[1], "{seen:?}");
    Ok(())
}

/// The kind of a frame, and how many hops it has left.
fn hops(frame: &[u8]) -> Option<(u8, u8)> {
    match frame.get(12..14)? {
        [0x08, 0x00] => Some((4, *frame.get(14 + 8)?)),
        [0x86, 0xdd] => Some((6, *frame.get(14 + 7)?)),
        _ => None,
    }
}

#[test]
fn clients_beyond_an_uplink_are_reached_past_the_stack() -> anyhow::Result<()> {
    let mut scene = Scene::set(2, RpFilter::Strict)?;
    scene.start_agent(&["--direct-delivery=on"])?;
    scene.wait_for_backends(2)?;
    let outside = &scene.node.outside.namespace;
    outside.ip(&format!(
        "route add {V4}/32 via {}\nroute add {V6}/128 via {}\n",
        Node::V4,
        Node::V6
    ))?;
    let routes = |protocol| {
        [
            (Outside::V4.into(), IpAddr::from(V4)),
            (Outside::V6.into(), V6.into()),
        ]
        .map(|(from, to)| Route {
            protocol,
            from,
            target: SocketAddr::new(to, PORT),
        })
    };
    let before = sent_on(&scene.node)?;
    let routes = [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(routes);
    for (number, route) in (0..).zip(routes) {
        let burst = || burst(Burst::of(route, 50).first_id(number * 100));
        let report = outside.block_on(burst)?;
        scene.check(&report)?;
    }
    let after = sent_on(&scene.node)?;
    for (before, after) in before.into_iter().zip(after) {
        let stack = after - before;
        ensure!(stack < 20, "the stack has sent on {stack} packets");
    }
    Ok(())
}

#[test]
fn what_asks_for_the_stack_goes_through_it() -> anyhow::Result<()> {
    let mut scene = Scene::set(1, RpFilter::Off)?;
    // The station that the harness's frames go to.
    let set = format!("link set {} address 02:00:00:00:00:02\n", scene.client.link);
    scene.node.namespace.ip(&set)?;
    scene.start_agent(&["--direct-delivery=on"])?;
    scene.wait_for_backends(1)?;
    // So that stations are known.
    for (number, route) in (0..).zip(scene.routes()) {
        let few = || burst(Burst::of(route, 5).first_id(number * 100));
        scene.check(&scene.client.namespace.block_on(few)?)?;
    }
    let (v4, v6) = (scene.client.v4.into(), scene.client.v6.into());
    let datagram = |from: IpAddr, to: IpAddr, port| {
        udp(SocketAddr::new(from, port), SocketAddr::new(to, PORT)).payload(b"7 1\n")
    };
    let plain = |port| [datagram(v4, V4.into(), port), datagram(v6, V6.into(), port)];
    let with = |port, change: fn(Frame) -> Frame| plain(port).map(change).to_vec();
    let cases: [(&str, Vec<Frame>, u64); 5] = [
        ("as usual", plain(40_001).to_vec(), 2),
        ("two hops", with(40_002, |it| it.hops(2)), 2),
        ("one hop", with(40_003, |it| it.hops(1)), 0),
        (
            "options",
            vec![datagram(v4, V4.into(), 40_004).ipv4_options(&[1, 1, 1, 0])],
            0,
        ),
        (
            "fragments",
            plain(40_005).iter().flat_map(|it| it.pieces(8)).collect(),
            0,
        ),
    ];
    let socket = scene
        .client
        .namespace
        .run(|| PacketSocket::open("eth0"))??;
    for (what, frames, directly) in cases {
        let total = u64::try_from(frames.len())?;
        let count = |reason| scene.counted("ingress", reason);
        let all = || {
            let ends = ["forwarded", "forwarded_directly", "fragment_forwarded"];
            ends.into_iter().map(count).sum::<anyhow::Result<u64>>()
        };
        let (before, before_all) = (count("forwarded_directly")?, all()?);
        for frame in &frames {
            socket.send(&frame.bytes())?;
        }
        wait::until(what, PATIENCE, || {
            (all().ok()? >= before_all + total).then_some(())
        })?;
        let passed = count("forwarded_directly")? - before;
        ensure!(passed == directly, "{what}: {passed} passed the stack by");
    }
    Ok(())
}
