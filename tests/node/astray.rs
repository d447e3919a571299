// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets of no flow for addresses of Services: nothing of them leaves the node, and clients are
//! told of a node without routes, too.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::ensure;
use tests::{
    netns::Outside,
    packet::{Frame, icmp, tcp, udp},
    traffic::{Burst, burst},
};

use crate::{
    probe::send_raw,
    scene::{PORT, Scene},
    unserved::{SERVICE, UNALLOCATED, beyond_uplink, nothing_left},
};

#[test]
fn nothing_of_no_flow_leaves_the_node() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    let beyond = beyond_uplink(&scene)?;
    for address in [SERVICE, UNALLOCATED].concat() {
        let client: IpAddr = if address.is_ipv4() {
            scene.client.v4.into()
        } else {
            scene.client.v6.into()
        };
        let (client, to) = ((client, 40_000).into(), SocketAddr::new(address, PORT));
        for frame in strays(client, to) {
            // Without its Ethernet header: the kernel makes one.
            send_raw(&scene.client.namespace, address, &frame.bytes()[14..])?;
        }
    }
    nothing_left(&scene, beyond)
}

/// Errors about no flow, fragments of no datagram, and what cannot be read.
fn strays(client: SocketAddr, to: SocketAddr) -> Vec<Frame> {
    let kind = if client.is_ipv4() { [3, 3] } else { [1, 4] };
    let error = || icmp(kind, client.ip(), to.ip());
    let datagram = udp(client, to).payload(&[7; 200]);
    let short = if client.is_ipv4() { 27 } else { 7 };
    vec![
        error().about(&udp(to, client), 100),
        error().about(&tcp(to, client), 100),
        error().about(&udp(to, client).claims_version(7), 100),
        datagram.pieces(48).swap_remove(2),
        udp(client, to).claims_length(short),
    ]
}

#[test]
fn without_a_default_route_the_host_tells_clients() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    for router in [IpAddr::from(Outside::V4), Outside::V6.into()] {
        let route = format!("route del default via {router} dev eth0\n");
        scene.node.namespace.ip(&route)?;
    }
    for address in SERVICE {
        let target = SocketAddr::new(address, PORT + 1);
        let dial = || TcpStream::connect_timeout(&target, Duration::from_secs(5)).map(drop);
        let dialled = scene.client.namespace.run(dial)?;
        let kind = dialled.map_err(|error| error.kind());
        let is_told = matches!(
            kind,
            Err(ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable)
        );
        ensure!(is_told, "{target}: {kind:?}");
    }
    // What is served needs no such route.
    for (number, route) in (0..).zip(scene.routes()) {
        let few = Burst::of(route, 5).first_id(number * 5);
        let report = scene.client.namespace.block_on(|| burst(few))?;
        scene.check(&report)?;
    }
    Ok(())
}
