// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pod that dials its own Service, and one that is dialled by way of a Service and directly from
//! one port, with real sockets.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tests::{
    netns::RpFilter,
    traffic::{Connection, Protocol, Route},
};

use crate::scene::{POD_PORT, PORT, Scene, V4, V6};

/// Flows of each kind; a pod of two is given itself in half of them.
const FLOWS: u64 = 50;

#[test]
fn a_pod_reaches_itself_through_its_service() -> anyhow::Result<()> {
    for rp_filter in [RpFilter::Off, RpFilter::Strict, RpFilter::Loose] {
        for backends in [1, 2] {
            let mut scene = Scene::set(backends, rp_filter)?;
            scene.start_agent(&[])?;
            scene.wait_for_backends(backends.into())?;
            let pod = &scene.backends[0];
            let own = [IpAddr::from(pod.v4), IpAddr::from(pod.v6)];
            for route in scene.routes() {
                let from = if route.from.is_ipv4() { own[0] } else { own[1] };
                let route = Route { from, ..route };
                let dialled = pod.namespace.block_on(|| dial(route, &pod.name))?;
                let itself = dialled.with_context(|| format!("{rp_filter:?}, {route:?}"))?;
                let expected = if backends == 1 {
                    FLOWS..=FLOWS
                } else {
                    1..=FLOWS - 1
                };
                ensure!(expected.contains(&itself), "{itself} of {FLOWS} to itself");
            }
        }
    }
    Ok(())
}

/// How many of a pod's flows have come to itself. It sees the Service call then, as the documents
/// say, and the others see the pod.
async fn dial(route: Route, name: &str) -> anyhow::Result<u64> {
    let mut itself = 0;
    for id in 0..FLOWS {
        let from = SocketAddr::new(route.from, 0);
        let mut flow = Connection::open(route.protocol, from, route.target, id).await?;
        let first = flow.exchange().await?;
        let caller = if first.pod == name {
            itself += 1;
            route.target.ip()
        } else {
            route.from
        };
        ensure!(first.client.ip() == caller, "flow {id}: {first:?}");
        ensure!(flow.exchange().await? == first, "flow {id} has changed");
    }
    Ok(itself)
}

#[test]
fn connections_to_a_service_and_to_its_pod_share_a_port() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    let (client, pod) = (&scene.client, &scene.backends[0]);
    let ways = [
        [client.v4.into(), IpAddr::from(V4), pod.v4.into()],
        [client.v6.into(), IpAddr::from(V6), pod.v6.into()],
    ];
    for [own, service, pod] in ways {
        let from = |port| SocketAddr::new(own, port);
        let service = SocketAddr::new(service, PORT);
        let pod = SocketAddr::new(pod, POD_PORT);
        let both = || together(from(40_001), vec![service, pod]);
        client.namespace.block_on(both)??;
        // The flow by way of the Service is over here, and not forgotten.
        for target in [service, pod] {
            let alone = || together(from(40_002), vec![target]);
            client.namespace.block_on(alone)??;
        }
    }
    Ok(())
}

/// Connections from one port, one after the other; all go on.
async fn together(from: SocketAddr, targets: Vec<SocketAddr>) -> anyhow::Result<()> {
    let mut flows = Vec::new();
    for (id, target) in (0..).zip(&targets) {
        let flow = Connection::open(Protocol::Tcp, from, *target, id).await;
        flows.push(flow.with_context(|| format!("from {from} to {target}"))?);
    }
    for _turn in 0..5 {
        for (flow, target) in flows.iter_mut().zip(&targets) {
            let answer = flow.exchange().await;
            answer.with_context(|| format!("from {from} to {target}"))?;
        }
    }
    Ok(())
}

#[test]
fn datagrams_to_a_service_and_to_its_pod_share_a_socket() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    let (client, pod) = (&scene.client, &scene.backends[0]);
    let ways = [
        [client.v4.into(), IpAddr::from(V4), pod.v4.into()],
        [client.v6.into(), IpAddr::from(V6), pod.v6.into()],
    ];
    for [own, service, pod] in ways {
        let targets = [
            SocketAddr::new(service, PORT),
            SocketAddr::new(pod, POD_PORT),
        ];
        client.namespace.run(|| -> anyhow::Result<()> {
            let socket = UdpSocket::bind((own, 0))?;
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            for turn in 0..5 {
                for target in targets {
                    socket.send_to(format!("1 {turn}").as_bytes(), target)?;
                    let answered = socket.recv_from(&mut [0; 512]);
                    let (_, by) = answered.with_context(|| format!("{own} to {target}"))?;
                    ensure!(by == target, "{own} has asked {target}, and {by} answers");
                }
            }
            Ok(())
        })??;
    }
    Ok(())
}
