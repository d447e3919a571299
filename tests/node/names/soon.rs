// SPDX-License-Identifier: MIT OR Apache-2.0
//! How soon a change of a Service is answered, by the kernel and by the server, among ten thousand
//! of them.

use std::{
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::{Value, json};
use tests::{api_server::Resource, wait};

use super::{DNS, PATIENCE};
use crate::cluster::Cluster;

const SERVICES: u32 = 10_000;
const CHANGES: u16 = 1_000;

/// Each change is seen. How long it takes is printed, for people: from the moment when the API
/// server has it, so the watch's way is part of it.
#[test]
fn every_change_is_answered() -> anyhow::Result<()> {
    let mut cluster = Cluster::set(0)?;
    for number in 0..SERVICES {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 97, 0, 0)) + number);
        cluster
            .server
            .put(service(&format!("other-{number}"), address));
    }
    cluster.server.put(dns_service());
    cluster.server.compact();
    let listen = ["--dns-listen", "192.0.2.10", "--dns-upstream", "none"];
    let flags = [&listen[..], &["--kernel-dns=on"]].concat();
    cluster.scene.start_agent(&flags)?;
    // Nobody serves the DNS Service here, so who answers at its address is the kernel.
    let sockets = [DNS[0], "192.0.2.10"].map(|server| {
        cluster.scene.client.namespace.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect((server, 53))?;
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
            anyhow::Ok(socket)
        })
    });
    let [kernel, server] = sockets;
    let sockets = [kernel??, server??];
    for socket in &sockets {
        wait::until("the first names", PATIENCE, || {
            (ask(socket, "other-9999").ok()? == Some(Ipv4Addr::new(10, 97, 39, 15))).then_some(())
        })?;
    }
    let mut took = Vec::new();
    for number in 0..CHANGES {
        let [high, low] = number.to_be_bytes();
        let address = Ipv4Addr::new(10, 96, high + 1, low);
        cluster.server.put(service("late", address));
        let written = Instant::now();
        for socket in &sockets {
            wait::until("the change", PATIENCE, || {
                (ask(socket, "late").ok()? == Some(address)).then_some(())
            })?;
        }
        took.push(written.elapsed());
    }
    cluster.server.delete(Resource::Services, "default", "late");
    for socket in &sockets {
        wait::until("that it is gone", PATIENCE, || {
            ask(socket, "late").ok()?.is_none().then_some(())
        })?;
    }
    took.sort();
    let at = |part: usize| {
        took.get(took.len() * part / 100)
            .copied()
            .context("no figure")
    };
    println!(
        "kernel and server answer a change after {:?} (median), {:?} (p99)",
        at(50)?,
        at(99)?
    );
    Ok(())
}

fn dns_service() -> Value {
    json!({
        "kind": "Service", "metadata": {"namespace": "kube-system", "name": "kube-dns"},
        "spec": {
            "clusterIP": DNS[0], "clusterIPs": [DNS[0]],
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}],
        },
    })
}

fn service(name: &str, address: Ipv4Addr) -> Value {
    json!({
        "kind": "Service", "metadata": {"name": name},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]},
    })
}

/// The address that a Service has, if there is one.
fn ask(socket: &UdpSocket, name: &str) -> anyhow::Result<Option<Ipv4Addr>> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in [name, "default", "svc", "cluster", "local", ""] {
        query.push(u8::try_from(label.len())?);
        query.extend(label.as_bytes());
    }
    query.extend([0, 1, 0, 1]);
    socket.send(&query)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let found = answer.get(6..8) == Some(&[0, 1]);
    let last: Option<[u8; 4]> = length
        .checked_sub(4)
        .and_then(|at| answer[at..length].try_into().ok());
    Ok(last.filter(|_| found).map(Ipv4Addr::from))
}
