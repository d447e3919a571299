// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything at once for a long time: new flows and open ones, a backend that comes and goes,
//! fragments, a flood and forged packets. In the end nothing of it is left.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use lb_userspace::{clock, datapath::pin::Pins, maps::kernel::KernelFlows};
use serde_json::{Value, json};
use tests::{
    figures::{self, Run},
    openmetrics,
    packet::{Frame, icmp, tcp, udp},
    traffic::Load,
    wait,
};

use crate::{
    attacker::{Attacker, serve},
    observe::curl,
    scene::{Life, POD_PORT, PORT, Scene, V4},
};

const METRICS: &str = "127.0.0.1:10249";
/// Frames of the attacker that are sent at a time, and the time between.
const BATCH: u32 = 32;
const PAUSE: Duration = Duration::from_millis(10);
/// One turn of the backend that comes and goes.
const TURN: Duration = Duration::from_millis(700);
/// How long what was there may take to go: more than all time-outs together.
const PATIENCE: Duration = Duration::from_secs(60);

/// Times that end within the shortest of such days.
const FLAGS: [&str; 12] = [
    "--metrics-bind-address",
    METRICS,
    "--half-open",
    "4096",
    "--conntrack-tcp-timeout-half-open",
    "5s",
    "--conntrack-udp-timeout",
    "3s",
    "--conntrack-udp-timeout-stream",
    "5s",
    "--conntrack-tombstone",
    "5s",
];

/// Ends of packets without which it was no such day.
const MET: [&str; 5] = [
    "flow_reset",
    "fragment_forwarded",
    "fragment_early",
    "port_refused",
    "unallocated",
];

#[test]
fn nothing_is_left_of_a_long_day() {
    figures::check("soak", soak);
}

fn soak(run: Run) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let (mut scene, attacker) = Attacker::set(2)?;
    serve(&mut scene, &FLAGS)?;
    let ids = backends(&scene)?;
    let load = Load::start(&scene.client.namespace, scene.routes(), 50, 100)?;
    let end = Instant::now() + Duration::from_secs(run.size);
    let (stop, frames) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let flood = {
        let (stop, frames) = (Arc::clone(&stop), Arc::clone(&frames));
        thread::spawn(move || attack(&attacker, &stop, &frames))
    };
    // Open flows know the first two; this one gets nothing but short ones.
    scene.add_backend()?;
    let (mut turns, mut early_kb, mut most) = (0_u32, None, 0);
    while Instant::now() < end {
        turn(&scene)?;
        turns += 1;
        most = most.max(flows(&scene)?);
        if early_kb.is_none() && end - Instant::now() < Duration::from_secs(run.size) * 3 / 4 {
            early_kb = Some(resident_kb(&scene)?);
        }
    }
    let (early_kb, late_kb) = (early_kb.context("too short")?, resident_kb(&scene)?);
    let report = load.stop()?;
    stop.store(true, Ordering::Relaxed);
    flood.join().expect("no panic")?;
    scene.check(&report)?;
    ensure!(most > 100, "there were never more than {most} flows");
    for reason in MET {
        let count = scene.counted("ingress", reason)?;
        ensure!(count > 0, "no packet ended as {reason}");
    }
    let left = wait::until("flows and ids to go", PATIENCE, || {
        let left = flows(&scene).ok()?;
        (left == 0 && backends(&scene).ok()? == ids).then_some(left)
    });
    let left =
        left.with_context(|| format!("{:?} flows, {:?} ids", flows(&scene), backends(&scene)))?;
    // What an allocator keeps for later is no leak, and does not grow.
    ensure!(
        late_kb < early_kb + early_kb / 10 + 2_048,
        "the agent has grown from {early_kb} to {late_kb} kB"
    );
    Ok(vec![
        ("flows", json!(report.sent.len())),
        ("failed", json!(0)),
        (
            "frames of the attacker",
            json!(frames.load(Ordering::Relaxed)),
        ),
        ("backends that came and went", json!(turns)),
        ("most flows at a time", json!(most)),
        ("flows left", json!(left)),
        ("kB resident after a quarter", json!(early_kb)),
        ("kB resident at the end", json!(late_kb)),
    ])
}

/// The third backend comes, drains, and goes.
fn turn(scene: &Scene) -> anyhow::Result<()> {
    let third = &scene.backends[2];
    scene.set_life(third, Life::Ready)?;
    scene.wait_for_backends(3)?;
    wait::pass(TURN);
    scene.set_life(third, Life::Terminating)?;
    wait::pass(TURN);
    scene.label(third, "another")?;
    scene.wait_for_backends(2).map(drop)
}

/// Sends frames under other people's names until told to stop.
fn attack(attacker: &Attacker, stop: &AtomicBool, sent: &AtomicU64) -> anyhow::Result<()> {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let frames: Vec<_> = (number..number + BATCH).flat_map(forged).collect();
        attacker.sends_all(&frames)?;
        sent.fetch_add(u64::try_from(frames.len())?, Ordering::Relaxed);
        number += BATCH;
        wait::pass(PAUSE);
    }
    Ok(())
}

/// The next frames: of each kind in turn.
fn forged(number: u32) -> Vec<Vec<u8>> {
    let [_, high, middle, low] = number.to_be_bytes();
    // RFC 2544: for benchmarks.
    let client = SocketAddr::from(([198, 18, middle, low], 40_000 + u16::from(high)));
    let service = SocketAddr::new(V4.into(), PORT);
    let datagram = udp(client, service)
        .payload(&[7; 3_000])
        .identified(u16::from(low));
    match number % 8 {
        0 | 1 => vec![tcp(client, service).syn().bytes()],
        2 => vec![
            tcp(client, service)
                .ack()
                .payload(b"out of nothing")
                .bytes(),
        ],
        3 => vec![tcp(client, service).rst().bytes()],
        // In order, and with the first one lost.
        4 => datagram.pieces(1_480).iter().map(Frame::bytes).collect(),
        5 => datagram
            .pieces(1_480)
            .iter()
            .skip(1)
            .map(Frame::bytes)
            .collect(),
        6 => {
            let quoted = tcp(service, client).ack();
            let error = icmp([3, 1], client.ip(), service.ip()).about(&quoted, 28);
            vec![error.bytes()]
        }
        // No Service's port, and no Service's address of its range.
        _ => {
            let nobody = Ipv4Addr::new(10, 96, middle, low);
            let other = SocketAddr::new(V4.into(), POD_PORT + 1);
            vec![
                udp(client, other).bytes(),
                udp(client, SocketAddr::new(nobody.into(), PORT)).bytes(),
            ]
        }
    }
}

/// Flows, half-open ones and affinities that live.
fn flows(scene: &Scene) -> anyhow::Result<u32> {
    let maps = Pins::new(&scene.weiche.pins).current().maps();
    let usage = KernelFlows::open(&maps)?.usage(clock::monotonic_ns())?;
    Ok(usage.iter().map(|one| one.entries).sum())
}

/// Ids of backends that are taken.
fn backends(scene: &Scene) -> anyhow::Result<u64> {
    let text = curl(&scene.node.namespace, &format!("http://{METRICS}/metrics"))?;
    let samples = openmetrics::parse(&text)?;
    let value = openmetrics::value(&samples, "weiche_map_entries", &[("map", "backends")]);
    let value = value.context("the number of backends is not told")?;
    Ok(serde_json::from_str(&format!("{value:.0}"))?)
}

fn resident_kb(scene: &Scene) -> anyhow::Result<u64> {
    let pid = scene.status()?["status"]["pid"]
        .as_u64()
        .context("no pid")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kb.context("no VmRSS")
}
