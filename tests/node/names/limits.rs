// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients that connect and say nothing keep nobody out for long, however many they are.

use std::{
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::wait;

use super::{PATIENCE, dig, scene};
use crate::scene::Scene;

/// More than one address may have.
const SILENT: usize = 100;

#[test]
fn silent_connections_are_ended_and_datagrams_do_not_wait_for_it() -> anyhow::Result<()> {
    let scene = scene()?;
    let server = ("192.0.2.10", 53)
        .to_socket_addrs()?
        .next()
        .context("an address")?;
    let connect = || (0..SILENT).map(|_| TcpStream::connect(server)).collect();
    let silent: Vec<std::io::Result<TcpStream>> = scene.client.namespace.run(connect)?;
    let mut silent: Vec<TcpStream> = silent.into_iter().collect::<Result<_, _>>()?;
    for stream in &silent {
        stream.set_nonblocking(true)?;
    }
    let shop = ["@192.0.2.10", "shop.default.svc.cluster.local.", "A"];
    assert_eq!(dig(&scene, &shop)?, "NOERROR 10.96.0.20");
    wait::until("the end of all that say nothing", PATIENCE, || {
        silent.retain_mut(|stream| !has_ended(stream));
        silent.is_empty().then_some(())
    })?;
    assert_eq!(
        dig(&scene, &[&shop[..], &["+tcp"]].concat())?,
        "NOERROR 10.96.0.20"
    );
    Ok(())
}

fn has_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// Clients that come and stay.
const CROWD: u16 = 10_000;
/// What the agent may hold, all it does besides names included.
const MOST_MEMORY_KIB: u64 = 64 * 1_024;
/// What `dns::server` lets in.
const CONNECTIONS: usize = 256;

/// From so many addresses that no address has more than its share.
#[test]
fn a_crowd_of_idle_clients_takes_no_more_than_its_room() -> anyhow::Result<()> {
    let scene = scene()?;
    let limit = getrlimit(Resource::Nofile);
    let enough = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, enough).context("more files than the test has")?;
    let addresses = (0..250).map(|last| Ipv4Addr::new(10, 245, 0, last + 1));
    let addresses: Vec<Ipv4Addr> = addresses.collect();
    let lines = addresses
        .iter()
        .map(|it| format!("addr add {it}/32 dev lo\n"));
    scene.client.namespace.ip(&lines.collect::<String>())?;
    let link = &scene.client.link;
    let gate = format!(
        "route add 10.245.0.0/24 via {} dev {link} onlink\n",
        scene.client.v4
    );
    scene.node.namespace.ip(&gate)?;
    let server: SocketAddr = "192.0.2.10:53".parse()?;
    let crowd = scene.client.namespace.run(|| {
        let each = (0..CROWD).map(|number| {
            let from = addresses[usize::from(number) % addresses.len()];
            connect_from(from, server)
        });
        each.collect::<anyhow::Result<Vec<TcpStream>>>()
    })??;
    let socket = scene.client.namespace.run(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        anyhow::Ok(socket)
    })??;
    let mut took = Vec::new();
    for _ in 0..1_000 {
        let asked = Instant::now();
        socket.send(SHOP)?;
        let mut answer = [0; 512];
        let length = socket
            .recv(&mut answer)
            .context("a datagram waits for the crowd")?;
        assert_eq!((length > SHOP.len(), answer[3] & 0x0f), (true, 0));
        took.push(asked.elapsed());
    }
    took.sort();
    println!(
        "beside {CROWD} clients, p99 of a datagram is {:?}",
        took[990]
    );
    let held = held(&scene)?;
    assert!(held <= CONNECTIONS, "{held} connections are held");
    let memory = memory_kib(&scene)?;
    println!("the agent holds {held} connections, and {memory} KiB");
    assert!(memory <= MOST_MEMORY_KIB, "{memory} KiB");
    drop(crowd);
    wait::until("room for others", PATIENCE, || {
        let shop = [
            "@192.0.2.10",
            "shop.default.svc.cluster.local.",
            "A",
            "+tcp",
        ];
        (dig(&scene, &shop).ok()? == "NOERROR 10.96.0.20").then_some(())
    })
}

/// A query for the address of `shop`.
const SHOP: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
    \x04shop\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01";

fn connect_from(from: Ipv4Addr, to: SocketAddr) -> anyhow::Result<TcpStream> {
    use rustix::net::{
        AddressFamily, SocketType, bind, connect, socket, sockopt::set_socket_linger,
    };
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::from((from, 0)))?;
    connect(&socket, &to)?;
    // Or thousands of ends, sent again and again at once to a node that is not there any more, fill
    // the processor's queue, which all namespaces share.
    set_socket_linger(&socket, Some(Duration::ZERO))?;
    Ok(TcpStream::from(socket))
}

/// Connections that the server has not ended.
fn held(scene: &Scene) -> anyhow::Result<usize> {
    let mut command: Command = scene.node.namespace.command("ss");
    command.args(["-Htn", "state", "established", "sport", "=", ":53"]);
    let output = command.output().context("starting ss")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().count())
}

fn memory_kib(scene: &Scene) -> anyhow::Result<u64> {
    let said = scene.status()?;
    let pid = said["status"]["pid"].as_u64().context("no pid")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}
