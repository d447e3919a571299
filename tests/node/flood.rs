// SPDX-License-Identifier: MIT OR Apache-2.0
//! A flood of SYNs from clients that do not exist: what is open stays open, new connections are
//! made soon afterwards, and of the flood nothing is left within the time-out.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use lb_userspace::{clock, datapath::pin::Pins, maps::kernel::KernelFlows};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tests::{
    figures::{self, Run},
    packet::tcp,
    traffic::{Burst, Protocol, Route, burst},
    wait,
};

use crate::{
    attacker::{Attacker, serve},
    scene::Scene,
};

/// SYNs in a second, if the machine can.
const RATE: u32 = 200_000;
/// SYNs in a system call.
const BATCH: u32 = 64;
/// Clients and ports that take turns: twice as many as there is room for.
const TUPLES: u32 = 65_536;
/// New connections, after this time.
const NEW: u64 = 1_000;
const BREAK: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);

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
                half_open: 2_048,
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
    // Two ends of each connection are ours.
    allow_files(2 * run.size + 2_000)?;
    let (mut scene, attacker) = Attacker::set(2)?;
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
        open.push(Open::dial(&scene, route, number)?);
    }

    let frames: Vec<Vec<u8>> = (0..TUPLES).map(|number| syn(&routes, number)).collect();
    let before = scene.counted("ingress", "forwarded")?;
    let begun = Instant::now();
    let sent = send(&attacker, &frames, size.seconds)?;
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

/// Lets this process open so many files, if it may not yet.
fn allow_files(count: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let at_least = |limit: Option<u64>| limit.map(|limit| limit.max(count));
    let limit = Rlimit {
        current: at_least(limit.current),
        maximum: at_least(limit.maximum),
    };
    setrlimit(Resource::Nofile, limit).context("root may")
}

/// Each connection exchanges a message.
fn talk(open: &mut [Open]) -> anyhow::Result<()> {
    open.iter_mut().try_for_each(Open::exchange)
}

/// Dials anew; how many times that failed, at most once in a hundred times.
fn dial_anew(scene: &Scene, routes: &[Route]) -> anyhow::Result<usize> {
    let mut failures = Vec::new();
    for route in routes {
        let new = Burst::of(*route, NEW / 2).first_id(1_000_000_000);
        failures.extend(scene.client.namespace.block_on(|| burst(new))?.failures);
    }
    let most = usize::try_from(NEW / 100)?;
    ensure!(failures.len() <= most, "of {NEW}: {failures:#?}");
    Ok(failures.len())
}

/// Sends SYNs at the rate for so many seconds; how many.
fn send(attacker: &Attacker, frames: &[Vec<u8>], seconds: u32) -> anyhow::Result<u32> {
    let begun = Instant::now();
    let length = Duration::from_secs(u64::from(seconds));
    let mut sent: u32 = 0;
    for batch in frames.chunks(usize::try_from(BATCH)?).cycle() {
        let due = Duration::from_secs(1) * (sent / BATCH) / (RATE / BATCH);
        wait::pass(due.saturating_sub(begun.elapsed()));
        if begun.elapsed() >= length {
            break;
        }
        attacker.sends_all(batch)?;
        sent += u32::try_from(batch.len())?;
    }
    Ok(sent)
}

/// A SYN of a client that does not exist.
fn syn(routes: &[Route], number: u32) -> Vec<u8> {
    let [_, _, high, low] = number.to_be_bytes();
    let route = routes[usize::from(low) % routes.len()];
    let address = match route.target.ip() {
        // RFC 2544: for benchmarks; RFC 3849: for documents.
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::new(198, 18, high, low)),
        IpAddr::V6(_) => {
            let [high, low] = [high, low].map(u16::from);
            IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, high, low))
        }
    };
    let client = SocketAddr::new(address, 50_000 + u16::from(high));
    tcp(client, route.target)
        .syn()
        .numbers(number.wrapping_mul(0x9e37_79b9), 0)
        .bytes()
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
    let left = half_open()?;
    ensure!(
        left == 0,
        "{left} half-open flows are left after {:?}",
        since.elapsed()
    );
    Ok(since.elapsed())
}

/// A connection that stays open.
struct Open {
    stream: BufReader<TcpStream>,
    id: u64,
    said: u64,
}

impl Open {
    fn dial(scene: &Scene, route: Route, id: u64) -> anyhow::Result<Self> {
        let connect = || TcpStream::connect_timeout(&route.target, PATIENCE);
        let stream = scene.client.namespace.run(connect)?;
        let stream = stream.with_context(|| format!("connection {id}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut open = Self {
            stream: BufReader::with_capacity(128, stream),
            id,
            said: 0,
        };
        open.exchange()?;
        Ok(open)
    }

    fn exchange(&mut self) -> anyhow::Result<()> {
        self.said += 1;
        let message = format!("{} {}\n", self.id, self.said);
        self.stream.get_mut().write_all(message.as_bytes())?;
        let mut answer = String::new();
        let read = self.stream.read_line(&mut answer);
        read.with_context(|| format!("connection {}", self.id))?;
        ensure!(
            answer.ends_with(&message),
            "{message:?} was answered {answer:?}"
        );
        Ok(())
    }
}
