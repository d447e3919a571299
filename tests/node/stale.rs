// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets that stay open while their backend leaves, or stops being ready.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tests::{
    traffic::{Load, Protocol, Route},
    wait,
};

use crate::scene::{Life, PORT, Scene, V4, V6};

/// Longer than this without an answer, and a datagram is lost.
const PATIENCE: Duration = Duration::from_millis(100);
/// The agent keeps a backend for a moment after nothing leads to it any more.
const AT_MOST: Duration = Duration::from_secs(2);

#[test]
fn sockets_of_a_pod_that_is_gone_go_on_with_another() -> anyhow::Result<()> {
    for is_connected in [true, false] {
        let mut scene = Scene::with_agent(2, &[])?;
        let own = [IpAddr::from(scene.client.v4), scene.client.v6.into()];
        let mut asked = Vec::new();
        for (own, service) in own.into_iter().zip([IpAddr::from(V4), V6.into()]) {
            let service = SocketAddr::new(service, PORT);
            let socket = scene.client.namespace.run(|| UdpSocket::bind((own, 0)))??;
            socket.set_read_timeout(Some(PATIENCE))?;
            if is_connected {
                socket.connect(service)?;
            }
            let first = || ask(&socket, service).ok();
            let first = wait::until("an answer", AT_MOST, first)?;
            asked.push((socket, service, first));
        }
        // Both may have the same pod, or each its own: so both go, and a third one comes.
        scene.add_backend()?;
        for pod in &scene.backends[..2] {
            scene.node.remove_pod(pod)?;
            scene.forget(pod)?;
        }
        scene.wait_for_backends(1)?;
        for (socket, service, first) in &asked {
            // What is lost until then, or refused by the node, does the socket no harm.
            let second = || ask(socket, *service).ok();
            let second = wait::until("another answer", AT_MOST, second)?;
            ensure!(second == "web-3", "{first}, then {second}");
        }
    }
    Ok(())
}

/// Asks the Service once, and waits for its answer: who has answered.
fn ask(socket: &UdpSocket, service: SocketAddr) -> anyhow::Result<String> {
    let sent = match socket.peer_addr() {
        Ok(_) => socket.send(b"1 1"),
        Err(_unconnected) => socket.send_to(b"1 1", service),
    };
    sent.context("asking")?;
    let mut answer = [0; 512];
    let (length, by) = socket.recv_from(&mut answer).context("an answer")?;
    ensure!(by == service, "{by} answers for {service}");
    let text = String::from_utf8_lossy(&answer[..length]);
    let pod = text.split(' ').next().unwrap_or_default();
    Ok(pod.to_owned())
}

#[test]
fn readiness_moves_no_open_connection() -> anyhow::Result<()> {
    let scene = Scene::with_agent(2, &[])?;
    let is_tcp = |route: &Route| route.protocol == Protocol::Tcp;
    let routes = scene.routes().into_iter().filter(is_tcp).collect();
    let load = Load::start(&scene.client.namespace, routes, 40, 100)?;
    for _flip in 0..5 {
        scene.set_life(&scene.backends[0], Life::NotReady)?;
        scene.wait_for_backends(1)?;
        load.wait_for(20)?;
        scene.set_life(&scene.backends[0], Life::Ready)?;
        scene.wait_for_backends(2)?;
        load.wait_for(20)?;
    }
    scene.check(&load.stop()?)
}
