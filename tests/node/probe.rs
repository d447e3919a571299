// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sequence probe: packets of a flow that come late, after its end, are still translated.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use etherparse::PacketBuilder;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with,
};
use serde::Deserialize;
use serde_json::json;
use tests::{
    figures,
    netns::{Namespace, Pod},
    observer::Observer,
    traffic::{Connection, Protocol, Route},
    wait,
};

use crate::{
    scene::{POD_PORT, Scene},
    untranslated::Untranslated,
};

/// The client's port of the probed flows.
const CLIENT_PORT: u16 = 40_000;
/// What the probe's packets say.
const LATE: &[u8] = b"late packet";
/// Between two packets of a probe.
const PACE: Duration = Duration::from_millis(100);

/// One flow of `weiche flow list -o json`.
#[derive(Debug, Deserialize)]
struct Listed {
    client: SocketAddr,
    state: String,
}

#[test]
fn late_packets_of_ended_flows_are_translated() {
    figures::check("sequence-probe", |run| {
        // The end of a tombstone is not probed: it may come a moment early or late.
        let tombstone = format!("{}s", run.size + 3);
        let mut flags = vec!["--conntrack-tombstone", &tombstone];
        flags.extend([
            "--conntrack-udp-timeout",
            "1s",
            "--conntrack-udp-timeout-stream",
            "2s",
        ]);
        let scene = Scene::with_agent(1, &flags)?;
        let untranslated = Untranslated::watch(&scene)?;
        let client = &scene.client.namespace;
        // UDP sockets stay open, and no ICMP error tells the backend that nobody listens.
        let mut open = Vec::new();
        for route in scene.routes() {
            let from = SocketAddr::new(route.from, CLIENT_PORT);
            let socket = client.block_on(|| flow(route, from))??;
            open.extend(socket);
        }
        wait_for_tombstones(&scene)?;
        let seen = Observer::start(&scene.lab, client, "eth0", "dst port 40000")?;
        let sent = probe(&scene, Duration::from_secs(run.size))?;
        let late = |frame: &&Vec<u8>| frame.windows(LATE.len()).any(|part| part == LATE);
        let arrived = seen.stop()?.frames.iter().filter(late).count();
        untranslated.none(&scene)?;
        ensure!(arrived == sent, "of {sent} late packets, {arrived} arrived");
        Ok(vec![
            ("late packets", json!(sent)),
            ("untranslated", json!(0)),
        ])
    });
}

/// A flow with one message; over TCP it is closed again, over UDP its socket is returned.
pub(crate) async fn flow(route: Route, from: SocketAddr) -> anyhow::Result<Option<UdpSocket>> {
    if route.protocol == Protocol::Tcp {
        let mut flow = Connection::open(route.protocol, from, route.target, 0).await?;
        return flow.exchange().await.map(|_answer| None);
    }
    let socket = UdpSocket::bind(from).context("binding the client's port")?;
    socket.send_to(b"0 1", route.target)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket
        .recv(&mut [0; 512])
        .context("waiting for an answer")?;
    Ok(Some(socket))
}

/// TCP flows are closed by now; UDP flows have to be silent for a while.
fn wait_for_tombstones(scene: &Scene) -> anyhow::Result<()> {
    wait::until("4 tombstones", Duration::from_secs(20), || {
        let flows: Vec<Listed> = scene.weiche.list(&["flow", "list"]).ok()?;
        let ended = flows.iter().filter(|flow| flow.state == "tombstone");
        (ended
            .filter(|flow| flow.client.port() == CLIENT_PORT)
            .count()
            == 4)
            .then_some(())
    })
    .with_context(|| {
        let flows: anyhow::Result<Vec<Listed>> = scene.weiche.list(&["flow", "list"]);
        format!("{flows:?}")
    })
}

/// Sends one packet of each flow from the backend to the client at a time; returns how many.
fn probe(scene: &Scene, length: Duration) -> anyhow::Result<usize> {
    let pod = &scene.backends[0];
    let end = Instant::now() + length;
    let mut sent = 0_usize;
    while Instant::now() < end {
        for route in scene.routes() {
            let number = u32::try_from(sent)?;
            send_late(pod, route, number)?;
            sent += 1;
        }
        let next = Instant::now() + PACE;
        wait::until("the next packet's time", PACE * 2, || {
            (Instant::now() >= next).then_some(())
        })?;
    }
    Ok(sent)
}

/// What the pod's kernel would send if it still knew the flow.
fn send_late(pod: &Pod, route: Route, number: u32) -> anyhow::Result<()> {
    let mut packet = Vec::new();
    let builder = match route.from {
        IpAddr::V4(client) => PacketBuilder::ipv4(pod.v4.octets(), client.octets(), 64),
        IpAddr::V6(client) => PacketBuilder::ipv6(pod.v6.octets(), client.octets(), 64),
    };
    match route.protocol {
        Protocol::Tcp => {
            let tcp = builder.tcp(POD_PORT, CLIENT_PORT, number, 1024).ack(1);
            tcp.write(&mut packet, LATE)?;
        }
        Protocol::Udp => {
            let udp = builder.udp(POD_PORT, CLIENT_PORT);
            udp.write(&mut packet, LATE)?;
        }
    }
    send_raw(&pod.namespace, route.from, &packet)
}

/// Sends a complete IP packet.
pub(crate) fn send_raw(at: &Namespace, to: IpAddr, packet: &[u8]) -> anyhow::Result<()> {
    let family = match to {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    at.run(|| {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::RAW, flags, Some(ipproto::RAW))?;
        sendto(&socket, packet, SendFlags::empty(), &SocketAddr::new(to, 0))
    })?
    .context("sending a raw packet")?;
    Ok(())
}
