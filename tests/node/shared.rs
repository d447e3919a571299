// SPDX-License-Identifier: MIT OR Apache-2.0
//! One pod behind two Services, dialled by way of both and directly, all from one port of one
//! client: none is mixed up.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tests::traffic::{Connection, Protocol};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::{
    reuse::dial,
    scene::{OTHER, POD_PORT, PORT, Scene, V4, V6},
};

/// Ports that the client has flows from to both Services at once.
const PORTS: u16 = 50;
/// Longer than a SYN that is sent a second time takes.
const PATIENCE: Duration = Duration::from_secs(5);
/// In which order the first Service, the second one and the pod itself are dialled.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

/// The client's address, and three ways to the pod: by either Service, and itself.
type Ways = (IpAddr, [SocketAddr; 3]);

/// The scene with a second Service, and the ways in it by family.
fn shared() -> anyhow::Result<(Scene, [Ways; 2])> {
    let scene = Scene::with_agent(1, &[])?;
    scene.add_service(1)?;
    let (client, pod) = (&scene.client, &scene.backends[0]);
    let ways = |service: IpAddr, other, pod| {
        let direct = SocketAddr::new(pod, POD_PORT);
        [(service, PORT).into(), (other, PORT).into(), direct]
    };
    let families = [
        (client.v4.into(), ways(V4.into(), OTHER[0], pod.v4.into())),
        (client.v6.into(), ways(V6.into(), OTHER[1], pod.v6.into())),
    ];
    Ok((scene, families))
}

#[test]
fn one_port_has_flows_to_two_services_of_one_pod() -> anyhow::Result<()> {
    let (scene, families) = shared()?;
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for (own, [service, other, _]) in families {
            for port in (0..PORTS).map(|number| 40_000 + number) {
                let from = SocketAddr::new(own, port);
                let both = || both(protocol, from, [service, other]);
                scene.client.namespace.block_on(both)??;
            }
        }
    }
    Ok(())
}

/// Flows to both Services that take turns: the pod tells them apart, and so does the client.
async fn both(protocol: Protocol, from: SocketAddr, to: [SocketAddr; 2]) -> anyhow::Result<()> {
    if protocol == Protocol::Udp {
        // Of two sockets with one port, a datagram would find the one or the other.
        return datagrams(from, &to).await;
    }
    let mut flows = Vec::new();
    for (id, target) in (0..).zip(to) {
        flows.push(Connection::open(protocol, from, target, id).await?);
    }
    let mut seen = BTreeSet::new();
    for _turn in 0..3 {
        for flow in &mut flows {
            seen.insert(flow.exchange().await?.client);
        }
    }
    ensure!(seen.len() == 2, "from {from}, the pod sees {seen:?}");
    Ok(())
}

/// Datagrams from one socket to each in turn; each answer comes from whom it was asked of.
async fn datagrams(from: SocketAddr, to: &[SocketAddr]) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(from).await?;
    for turn in 0..3 {
        for target in to {
            let question = format!("- {turn}");
            socket.send_to(question.as_bytes(), target).await?;
            let mut answer = [0; 512];
            let answered = timeout(PATIENCE, socket.recv_from(&mut answer)).await;
            let answered = answered.with_context(|| format!("no answer from {target}"))?;
            let (length, by) = answered?;
            ensure!(by == *target, "{target} was asked, and {by} answers");
            let text = String::from_utf8_lossy(&answer[..length]);
            ensure!(text.trim().ends_with(&question), "{text}");
        }
    }
    Ok(())
}

#[test]
fn one_port_has_connections_to_two_services_and_to_their_pod_in_any_order() -> anyhow::Result<()> {
    let (scene, families) = shared()?;
    for (own, ways) in families {
        for (order, port) in ORDERS.into_iter().zip(41_000..) {
            let from = SocketAddr::new(own, port);
            let all = || together(from, order.map(|way| ways[way]));
            let done = scene.client.namespace.block_on(all)?;
            done.with_context(|| format!("from {from}, in the order {order:?}"))?;
        }
    }
    Ok(())
}

/// Connections from one port, one after the other; all go on to the end.
async fn together(from: SocketAddr, targets: [SocketAddr; 3]) -> anyhow::Result<()> {
    let mut open: Vec<BufReader<TcpStream>> = Vec::new();
    for target in targets {
        let stream = timeout(PATIENCE, dial(from, target)).await;
        let stream = stream.with_context(|| format!("{target} does not answer"))?;
        open.push(BufReader::new(stream?));
        for turn in 0..3 {
            for (number, stream) in open.iter_mut().enumerate() {
                let question = format!("- {number}.{turn}");
                let answer = timeout(PATIENCE, ask(stream, &question)).await;
                let to = targets[number];
                let answer = answer.with_context(|| format!("{to} answers no more"))?;
                let answer = answer.with_context(|| format!("of {to}"))?;
                ensure!(answer.trim().ends_with(&question), "{to} answers {answer}");
            }
        }
    }
    Ok(())
}

async fn ask(stream: &mut BufReader<TcpStream>, question: &str) -> anyhow::Result<String> {
    stream.write_all(format!("{question}\n").as_bytes()).await?;
    let mut answer = String::new();
    ensure!(stream.read_line(&mut answer).await? > 0, "it hangs up");
    Ok(answer)
}

#[test]
fn one_socket_has_datagrams_to_two_services_and_to_their_pod_in_any_order() -> anyhow::Result<()> {
    let (scene, families) = shared()?;
    for (own, ways) in families {
        for (order, port) in ORDERS.into_iter().zip(42_000..) {
            let from = SocketAddr::new(own, port);
            let to = order.map(|way| ways[way]);
            let done = scene
                .client
                .namespace
                .block_on(|| async move { datagrams(from, &to).await })?;
            done.with_context(|| format!("from {from}, in the order {order:?}"))?;
        }
    }
    Ok(())
}
