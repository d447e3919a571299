// SPDX-License-Identifier: MIT OR Apache-2.0
//! A flood of SYNs from clients that do not exist: what is open stays open, new connections are
//! made soon afterwards, and of the flood nothing is left within the time-out.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use lb_userspace::{clock, datapath::pin::Pins, maps::kernel::KernelFlows};
use serde_json::{Value, json};
use tests::{
    figures::{self, Run},
    netns::Process,
    packet::tcp,
    source::Source,
    traffic::{Protocol, Route},
    wait,
};

use crate::{
    attacker::{Attacker, serve},
    scene::{POD_PORT, Scene},
};

/// SYNs in a second, if the machine can.
const RATE: u32 = 200_000;
/// New connections, after this time.
const NEW: usize = 1_000;
const BREAK: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);
/// A connection that takes longer is a failure.
const STALL: Duration = Duration::from_secs(1);

/// How it is done.
struct Size {
    seconds: u32,
    half_open: u32,
    timeout_s: u64,
}

impl Size {
    /// The defaults, or what is soon over, by the number of open connections.
    fn of(open: u64) -> Self {
        if open < 10_000 {
            return Self {
                seconds: 2,
                half_open: 4_096,
                timeout_s: 15,
            };
        }
        Self {
            seconds: 10,
            half_open: 32_768,
            timeout_s: 60,
        }
    }
}

#[test]
fn a_flood_of_syns_breaks_nothing() {
    figures::check("syn-flood", flood);
}

fn flood(run: Run) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let size = Size::of(run.size);
    let (mut scene, attacker) = Attacker::set(2)?;
    let _servers = servers(&mut scene)?;
    let (half_open, timeout) = (size.half_open.to_string(), format!("{}s", size.timeout_s));
    let flags = [
        "--half-open",
        &half_open,
        "--conntrack-tcp-timeout-half-open",
        &timeout,
    ];
    serve(&mut scene, &flags)?;
    let mut routes = scene.routes();
    routes.retain(|route| route.protocol == Protocol::Tcp);
    let mut open = Vec::new();
    for number in 0..run.size {
        let route = routes[usize::try_from(number)? % routes.len()];
        open.push(Open::dial(&scene, route)?);
    }

    let sources = routes.iter().map(|route| source(&scene, &attacker, *route));
    let sources = sources.collect::<anyhow::Result<Vec<_>>>()?;
    let before = scene.counted("ingress", "forwarded")?;
    let begun = Instant::now();
    let sent = send(&scene, &sources, size.seconds)?;
    let (took, ended) = (begun.elapsed(), Instant::now());
    let seen = scene.counted("ingress", "forwarded")? - before;
    talk(&mut open).context("right after the flood")?;
    wait::pass(BREAK.saturating_sub(ended.elapsed()));
    let failed = dial_anew(&scene, &routes)?;
    let alarmed = alarm(&scene)?;
    let gone = emptied(&scene, ended, size.timeout_s)?;
    talk(&mut open).context("long after the flood")?;
    let rate = (f64::from(sent) / took.as_secs_f64()).round();
    Ok(vec![
        ("open connections that broke", json!(0)),
        ("new connections that failed", json!(failed)),
        ("SYNs sent", json!(sent)),
        ("packets sent on meanwhile", json!(seen)),
        ("SYNs a second", json!(rate)),
        (
            "seconds until half-open flows were gone",
            json!(gone.as_secs()),
        ),
        ("alarmed for", json!(alarmed)),
    ])
}

/// A server process in each backend's pod, in place of the threads that serve there otherwise: one
/// process may not have both ends of so many connections open.
fn servers(scene: &mut Scene) -> anyhow::Result<Vec<Process>> {
    scene.servers.clear();
    let mut servers = Vec::new();
    for pod in &scene.backends {
        let mut command = pod.namespace.command(env!("CARGO_BIN_EXE_weiche-demo"));
        command.args(["pod-server", "--name", &pod.name, "--port"]);
        command.arg(POD_PORT.to_string());
        command.args(["--addresses", &pod.v4.to_string()]);
        command.stdout(Stdio::piped());
        let mut server = Process::spawn(&mut command)?;
        let stdout = server.child().stdout.take().context("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "ready\n", "{}: {line:?}", pod.name);
        servers.push(server);
    }
    Ok(servers)
}

/// Each connection exchanges a message.
fn talk(open: &mut [Open]) -> anyhow::Result<()> {
    open.iter_mut().try_for_each(Open::exchange)
}

/// Dials anew; how many times that failed, at most once in a hundred times.
fn dial_anew(scene: &Scene, routes: &[Route]) -> anyhow::Result<usize> {
    let mut failures = Vec::new();
    for number in 0..NEW {
        let route = routes[number % routes.len()];
        failures.extend(Open::dial(scene, route).err());
    }
    ensure!(failures.len() <= NEW / 100, "of {NEW}: {failures:#?}");
    Ok(failures.len())
}

/// Sends SYNs at the rate for so many seconds, each source from a processor; how many.
fn send(scene: &Scene, sources: &[Source], seconds: u32) -> anyhow::Result<u32> {
    let each_s = RATE / u32::try_from(sources.len())?;
    let node = &scene.node.namespace;
    thread::scope(|scope| {
        let senders = sources
            .iter()
            .map(|source| scope.spawn(move || node.run(|| send_some(source, each_s, seconds))));
        // Collected first, so that all of them run before the first one is waited for.
        let senders: Vec<_> = senders.collect();
        let mut sent = 0;
        for sender in senders {
            let ended = sender.join();
            sent += ended.map_err(|_panic| anyhow!("a sender panicked"))???;
        }
        Ok(sent)
    })
}

/// One sender's part of it.
fn send_some(source: &Source, each_s: u32, seconds: u32) -> anyhow::Result<u32> {
    let begun = Instant::now();
    let length = Duration::from_secs(u64::from(seconds));
    let mut sent: u32 = 0;
    while begun.elapsed() < length {
        // To begin takes the kernel some 30 ms, so this is seldom done.
        source.send(each_s)?;
        sent += each_s;
        let due = Duration::from_secs(1) * sent / each_s;
        wait::pass(due.saturating_sub(begun.elapsed()));
    }
    Ok(sent)
}

/// Sends SYNs of 65,536 clients that do not exist: twice as many as there is room for.
fn source(scene: &Scene, attacker: &Attacker, route: Route) -> anyhow::Result<Source> {
    // RFC 2544: for benchmarks; RFC 3849: for documents. Behind the Ethernet header, the last half
    // of the source's address is told apart, the sequence number's first half balances that, and
    // IPv4's identification does so for its header's own checksum.
    let (client, places) = match route.target.ip() {
        IpAddr::V4(_) => {
            let client = IpAddr::from(Ipv4Addr::new(198, 18, 0, 0));
            (client, [14 + 14, 14 + 20 + 4, 14 + 4])
        }
        IpAddr::V6(_) => {
            let client = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0));
            (client, [14 + 22, 14 + 40 + 4, 14 + 40 + 4])
        }
    };
    let syn = tcp(SocketAddr::new(client, 50_000), route.target)
        .syn()
        .identified(0xffff)
        .numbers(0xffff_0000, 0);
    let numbers = (places, [u16::MAX, 0]);
    Source::open(
        &scene.node.namespace,
        attacker.link(),
        &syn.bytes(),
        numbers,
    )
}

/// Which maps the agent says are nearly full, which it must say; and once in its log.
fn alarm(scene: &Scene) -> anyhow::Result<Vec<String>> {
    let maps = ["half_open_v4", "half_open_v6"];
    wait::until("an alarm for both families", PATIENCE, || {
        let status = scene.status().ok()?;
        let pressed = status["status"]["pressed"].as_array()?;
        maps.iter()
            .all(|map| pressed.iter().any(|one| one["map"] == *map))
            .then_some(())
    })?;
    let said = scene.last_words();
    for map in maps {
        let line = format!("map {map} is nearly full");
        ensure!(
            said.matches(&line).count() == 1,
            "{line} is not said once: {said}"
        );
    }
    Ok(maps.map(str::to_owned).to_vec())
}

/// Waits until no half-open flow lives; how long that was after the flood's end.
fn emptied(scene: &Scene, since: Instant, timeout_s: u64) -> anyhow::Result<Duration> {
    let maps = Pins::new(&scene.weiche.pins).current().maps();
    let flows = KernelFlows::open(&maps)?;
    let limit = Duration::from_secs(timeout_s);
    let half_open = || {
        let usage = flows.usage(clock::monotonic_ns())?;
        let half_open = usage.iter().filter(|one| one.map.starts_with("half_open"));
        anyhow::Ok(half_open.map(|one| one.entries).sum::<u32>())
    };
    ensure!(half_open()? > 0, "none is half open: was there a flood?");
    wait::pass(limit.saturating_sub(since.elapsed()));
    let gone = since.elapsed();
    let left = half_open()?;
    ensure!(left == 0, "{left} half-open flows are left after {gone:?}");
    Ok(gone)
}

/// A connection that stays open, by HTTP.
struct Open {
    stream: BufReader<TcpStream>,
    /// Who answers.
    pod: Option<String>,
}

impl Open {
    fn dial(scene: &Scene, route: Route) -> anyhow::Result<Self> {
        let connect = || TcpStream::connect_timeout(&route.target, STALL);
        let stream = scene.client.namespace.run(connect)?;
        let stream = stream.with_context(|| format!("dialling {}", route.target))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut open = Self {
            stream: BufReader::with_capacity(256, stream),
            pod: None,
        };
        open.exchange()?;
        Ok(open)
    }

    /// Asks who serves, which stays the same.
    fn exchange(&mut self) -> anyhow::Result<()> {
        let request = b"GET /hostname HTTP/1.1\r\nHost: web\r\n\r\n";
        self.stream.get_mut().write_all(request)?;
        // The body is the only line that has no end of its own kind.
        let mut line = String::new();
        while line.is_empty() || line.ends_with("\r\n") {
            line.clear();
            let length = self.stream.read_line(&mut line)?;
            ensure!(length > 0, "the server closed the connection");
        }
        let pod = self.pod.get_or_insert_with(|| line.clone());
        ensure!(*pod == line, "{line:?} answers instead of {pod:?}");
        Ok(())
    }
}
