// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ports that clients use again at once, and two datagrams from one socket at once.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::Barrier,
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tests::{
    figures,
    netns::Namespace,
    traffic::{HANG_UP, Protocol, Route},
    wait,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::scene::{PORT, Scene, V4, V6};

/// Ports that take turns, from this one on.
const FIRST_PORT: u16 = 40_000;
const PORTS: u64 = 64;
/// Within this, everything that is not lost has come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who closes a connection first, or how it ends else.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The pod, whose kernel remembers it then (`TIME_WAIT`) and must take the next one for new.
    Pod,
    /// A reset by the client.
    Reset,
}

#[test]
fn ports_are_used_again_at_once() {
    figures::check("port-reuses", |run| {
        let scene = Scene::with_agent(3, &[])?;
        let client = &scene.client.namespace;
        let before = syns_sent_twice(client)?;
        let routes = scene.routes();
        let tcp: Vec<_> = (routes.iter())
            .filter(|route| route.protocol == Protocol::Tcp)
            .collect();
        let mut without = BTreeSet::new();
        for round in 0..4 {
            // With one pod out of three: whoever was there before must go elsewhere.
            let is_out = round % 2 == 1;
            let app = if is_out { "other" } else { "web" };
            scene.label(&scene.backends[0], app)?;
            scene.wait_for_backends(if is_out { 2 } else { 3 })?;
            for route in &tcp {
                let count = run.size / 8;
                let reached = client.block_on(|| again_and_again(**route, count))??;
                if is_out {
                    without.extend(reached);
                } else {
                    ensure!(reached.len() == 3, "only {reached:?} were reached");
                }
            }
        }
        ensure!(!without.contains("web-1"), "old decisions were kept");
        let twice = syns_sent_twice(client)?.saturating_sub(before);
        ensure!(twice == 0, "{twice} SYNs were sent again");
        Ok(vec![("SYNs sent twice", json!(twice))])
    });
}

/// So many connections from a few ports, one after the other; who has answered.
async fn again_and_again(route: Route, count: u64) -> anyhow::Result<BTreeSet<String>> {
    let mut pods = BTreeSet::new();
    for number in 0..count {
        let port = FIRST_PORT + u16::try_from(number % PORTS)?;
        let from = SocketAddr::new(route.from, port);
        let end = if (number / PORTS).is_multiple_of(2) {
            End::Pod
        } else {
            End::Reset
        };
        let one = timeout(PATIENCE, connection(from, route.target, end)).await;
        let one = one.context("nobody answers").and_then(|it| it);
        pods.insert(one.with_context(|| format!("connection {number} from {from}, {end:?}"))?);
    }
    Ok(pods)
}

/// One connection with one message: who has answered.
async fn connection(from: SocketAddr, target: SocketAddr, end: End) -> anyhow::Result<String> {
    let stream = dial(from, target).await?;
    if matches!(end, End::Reset) {
        stream.set_zero_linger()?;
    }
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.write_all(b"- 1\n").await?;
    ensure!(stream.read_line(&mut line).await? > 0, "no answer");
    if matches!(end, End::Pod) {
        stream.write_all(format!("{HANG_UP}\n").as_bytes()).await?;
        ensure!(stream.read_line(&mut line).await? == 0, "{line}");
    }
    let pod = line.split(' ').next().unwrap_or_default();
    Ok(pod.to_owned())
}

/// Connects from a port as soon as this machine lets it go.
pub(crate) async fn dial(from: SocketAddr, target: SocketAddr) -> anyhow::Result<TcpStream> {
    loop {
        let socket = match target {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(from)?;
        match socket.connect(target).await {
            // The pod has not acknowledged the end yet.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                wait::pass_on_runtime(Duration::from_millis(1)).await;
            }
            result => return result.context("connecting"),
        }
    }
}

/// How many SYNs were sent again for want of an answer, in all (`netstat -s`).
fn syns_sent_twice(at: &Namespace) -> anyhow::Result<u64> {
    let text = at.run(|| fs::read_to_string("/proc/thread-self/net/netstat"))??;
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("TcpExt: "))
        .map(|row| row.split(' ').collect())
        .collect();
    let [names, values] = rows.as_slice() else {
        anyhow::bail!("no two rows of TcpExt in {text}");
    };
    let column = names.iter().position(|name| *name == "TCPSynRetrans");
    let value = column.and_then(|column| values.get(column));
    Ok(value.context("no TCPSynRetrans")?.parse()?)
}

#[test]
fn two_datagrams_from_one_socket_at_once_are_both_answered() {
    figures::check("paired-questions", |run| {
        // Or the table would be full of flows that are over.
        let mut flags = vec!["--conntrack-tombstone", "1s"];
        flags.extend(["--conntrack-udp-timeout", "1s"]);
        flags.extend(["--conntrack-udp-timeout-stream", "1s"]);
        let scene = Scene::with_agent(3, &flags)?;
        let client = &scene.client;
        let ways = [
            [IpAddr::from(client.v4), V4.into()],
            [client.v6.into(), V6.into()],
        ];
        for [own, service] in ways {
            let service = SocketAddr::new(service, PORT);
            let pairs = || (0..run.size / 2).try_for_each(|number| pair(own, service, number));
            client.namespace.run(pairs)??;
        }
        Ok(vec![("pairs", json!(run.size)), ("lost", json!(0))])
    });
}

/// Two questions from a socket that is new to the Service, as a resolver asks for A and AAAA.
fn pair(own: IpAddr, service: SocketAddr, number: u64) -> anyhow::Result<()> {
    let socket = UdpSocket::bind((own, 0))?;
    socket.connect(service)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let start = Barrier::new(2);
    let ask = |what: &str| {
        start.wait();
        socket.send(what.as_bytes())
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| ask("- AAAA"));
        let mine = ask("- A").map(drop);
        let theirs = other.join().map(|sent| sent.map(drop));
        mine.and(theirs.unwrap_or_else(|_panic| Err(ErrorKind::Other.into())))
    })
    .with_context(|| format!("pair {number}"))?;
    let mut pods = BTreeSet::new();
    let mut answered = BTreeSet::new();
    for _answer in 0..2 {
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer);
        let length = length.with_context(|| format!("pair {number}, after {answered:?}"))?;
        let text = String::from_utf8_lossy(&answer[..length]);
        let mut words = text.split_whitespace();
        pods.extend(words.next().map(str::to_owned));
        answered.extend(words.next_back().map(str::to_owned));
    }
    ensure!(
        pods.len() == 1 && answered.len() == 2,
        "{pods:?}: {answered:?}"
    );
    Ok(())
}
