// SPDX-License-Identifier: MIT OR Apache-2.0
//! As many flows to one backend as one address of the node has ports for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};

use super::{Exposure, ROWS, Region, addresses, port, region};
use crate::{
    region::{NODE, VISITOR},
    scene::POD_PORT,
};

/// The client's ports.
const PORTS: std::ops::Range<u16> = 2_000..62_000;
/// Of those that are asked once more, the distance of one from the next.
const EACH: usize = 61;
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn sixty_thousand_flows_share_an_address() -> anyhow::Result<()> {
    // However slow the machine is, the first ones are still there when the last one has come.
    let region = region(&["--conntrack-udp-timeout-stream=1h"])?;
    let Region {
        visitor,
        far,
        servers: [_near, far_server],
        scene,
        ..
    } = region;
    drop(far_server);
    // What the node's own programs have, and ports of Services.
    let own = scene.node.namespace.run(|| bind_some(NODE[0]))??;
    let numbers = own.iter().map(|socket| Ok(socket.local_addr()?.port()));
    let mut taken = numbers.collect::<anyhow::Result<BTreeSet<u16>>>()?;
    taken.extend(ROWS.map(|row| port(Exposure::NodePort, row.1)));
    let end = SocketAddr::new(far.v4.into(), POD_PORT);
    let backend = far.namespace.run(|| UdpSocket::bind(end))??;
    backend.set_read_timeout(Some(2 * PATIENCE))?;
    let target = addresses(Exposure::NodePort, 3)[0];
    let target = SocketAddr::new(target, port(Exposure::NodePort, 3));
    let shown = thread::scope(|scope| {
        scope.spawn(|| tell(&backend));
        let asked = visitor.run(|| ask_all(VISITOR[0], target));
        // It ends by a datagram without bytes.
        backend.send_to(&[], end)?;
        asked?
    });
    let shown = shown.with_context(|| scene.last_words())?;
    let others: BTreeSet<SocketAddr> = shown.values().copied().collect();
    ensure!(others.len() == PORTS.len(), "{} ports", others.len());
    ensure!(others.iter().all(|seen| seen.ip() == NODE[0]));
    let is_taken = |seen: &&SocketAddr| taken.contains(&seen.port());
    let clashes: Vec<_> = others.iter().filter(is_taken).collect();
    ensure!(clashes.is_empty(), "others' ports: {clashes:?}");
    let refused = scene.counted("ingress", "no_source")?;
    ensure!(refused == 0, "{refused} found no port");
    Ok(())
}

/// Sockets of the node's, which anybody may send to, at ports near and far from one another.
fn bind_some(address: IpAddr) -> anyhow::Result<Vec<UdpSocket>> {
    let ports = (1_500..1_600).chain((2_000..60_000).step_by(500));
    let bound = ports.map(|port| UdpSocket::bind(SocketAddr::new(address, port)));
    let bound = bound.collect::<std::io::Result<_>>();
    bound.context("binding the node's own sockets")
}

/// Sends each datagram back with whom it came from, until nothing is in it.
fn tell(socket: &UdpSocket) {
    let mut buffer = [0; 16];
    while let Ok((1.., seen)) = socket.recv_from(&mut buffer) {
        let _sent = socket.send_to(seen.to_string().as_bytes(), seen);
    }
}

/// Asks from each port once, and from some of them once more: whom the backend has seen, which
/// stays who it was.
fn ask_all(from: IpAddr, target: SocketAddr) -> anyhow::Result<BTreeMap<u16, SocketAddr>> {
    let ask = |port| {
        let asked = ask(SocketAddr::new(from, port), target);
        asked.with_context(|| format!("from port {port} to {target}"))
    };
    let mut shown = BTreeMap::new();
    for port in PORTS {
        shown.insert(port, ask(port)?);
    }
    for (port, seen) in shown.iter().step_by(EACH) {
        let again = ask(*port)?;
        ensure!(again == *seen, "port {port}: {seen}, then {again}");
    }
    Ok(shown)
}

fn ask(from: SocketAddr, target: SocketAddr) -> anyhow::Result<SocketAddr> {
    let socket = UdpSocket::bind(from)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(target)?;
    // With a second one the flow is no longer half open, where others might take its place.
    let [first, second] = [tell_me(&socket)?, tell_me(&socket)?];
    ensure!(first == second, "{first}, and then {second}");
    Ok(first.parse()?)
}

fn tell_me(socket: &UdpSocket) -> anyhow::Result<String> {
    let mut buffer = [0; 64];
    socket.send(b"who am I?")?;
    let length = socket.recv(&mut buffer)?;
    Ok(std::str::from_utf8(&buffer[..length])?.to_owned())
}
