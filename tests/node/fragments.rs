// SPDX-License-Identifier: MIT OR Apache-2.0
//! Datagrams that no link can carry whole, through a Service and back.

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tests::{figures, netns::Namespace};

use crate::scene::{POD_PORT, PORT, Scene, V4, V6};

/// Payloads: one fragment more than a link carries, and almost what UDP can.
const LENGTHS: [usize; 5] = [1_600, 4_000, 16_000, 60_000, 65_000];
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends datagrams from the client, which the pod sends back; how many there were.
fn there_and_back(scene: &Scene, rounds: u64) -> anyhow::Result<u64> {
    let (client, pod) = (&scene.client, &scene.backends[0]);
    let mut answered = 0;
    for (client_address, pod_address, service) in [
        (client.v4.into(), pod.v4.into(), V4.into()),
        (client.v6.into(), pod.v6.into(), V6.into()),
    ] {
        let bound = |namespace: &Namespace, at: SocketAddr| {
            let socket = namespace.run(|| UdpSocket::bind(at))??;
            socket.set_read_timeout(Some(PATIENCE))?;
            anyhow::Ok(socket)
        };
        let backend = bound(&pod.namespace, SocketAddr::new(pod_address, POD_PORT))?;
        let socket = bound(&client.namespace, SocketAddr::new(client_address, 0))?;
        socket.connect(SocketAddr::new(service, PORT))?;
        for round in 0..rounds {
            for length in LENGTHS {
                let sent: Vec<u8> = (round..)
                    .map(|word| word.to_le_bytes()[0])
                    .take(length)
                    .collect();
                thread::scope(|scope| {
                    let echo = scope.spawn(|| {
                        let mut buffer = vec![0; 1 << 16];
                        let (length, from) = backend.recv_from(&mut buffer)?;
                        backend.send_to(&buffer[..length], from)
                    });
                    socket.send(&sent)?;
                    echo.join().expect("no panic")
                })
                .with_context(|| format!("{length} bytes to {service}"))?;
                let mut buffer = vec![0; 1 << 16];
                let length = socket.recv(&mut buffer).context("the answer")?;
                ensure!(buffer[..length] == sent, "{service} answers something else");
                answered += 1;
            }
        }
    }
    Ok(answered)
}

#[test]
fn datagrams_of_many_fragments_arrive_and_are_answered() {
    figures::check("fragmented-datagrams", |run| {
        let mut scene = Scene::with_agent(1, &[])?;
        scene.servers.clear();
        let alone = there_and_back(&scene, run.size)?;
        // The node's own connection tracking puts datagrams together, and takes them apart again.
        let table = "table inet beside { chain forward { \
                     type filter hook forward priority 0; ct state invalid drop; }; }";
        let mut nft = scene.node.namespace.command("nft");
        let status = nft.arg(table).status().context("starting nft")?;
        ensure!(status.success(), "nft: {status}");
        let beside = there_and_back(&scene, run.size)?;
        Ok(vec![
            ("answered", json!(alone)),
            ("answered beside connection tracking", json!(beside)),
            ("lost", json!(0)),
        ])
    });
}
