// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flows that begin and end on bad roads: each is whole, whoever closes first, and nothing of them
//! leaves untranslated, however late, early or often its packets come.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::net::{Shutdown as Ways, shutdown};
use serde_json::{Value, json};
use tests::{
    chance::Chance,
    figures::{self, Progress, Run},
    netns::RpFilter,
    road::{Road, Weather},
    traffic::Server,
};
use tests_ebpf::fate::Shares;

use crate::{
    scene::{POD_PORT, PORT, Scene, V4, V6},
    untranslated::Untranslated,
};

/// Flows at a time.
const AT_ONCE: u64 = 48;
/// What is lost is sent again after a second, then after two, and so on.
const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST: u64 = 20_000;
const BAD: Weather = Weather {
    shares: Shares {
        lost: 20,
        doubled: 30,
        overtaking: 40,
    },
    delay: Duration::from_millis(1),
    jitter: Duration::from_millis(3),
    seed: 0,
};
/// How a packet ends that a flow should not have: each would reset or starve it.
const FAILURES: [&str; 4] = ["flow_reset", "no_flow", "backend_gone", "flow_table_full"];

/// What a client asks for.
#[derive(Clone, Copy)]
struct Wish {
    id: u64,
    length: u64,
    server_closes_first: bool,
}

impl Wish {
    fn of(id: u64, seed: u64) -> Self {
        let mut chance = Chance::new(seed, id);
        Self {
            id,
            length: chance.between(1..LONGEST),
            server_closes_first: chance.one_in(2),
        }
    }

    fn bytes(self) -> [u8; 17] {
        let mut bytes = [0; 17];
        bytes[..8].copy_from_slice(&self.id.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.length.to_be_bytes());
        bytes[16] = u8::from(self.server_closes_first);
        bytes
    }

    fn read(from: &mut TcpStream) -> anyhow::Result<Self> {
        let (mut id, mut length, mut first) = ([0; 8], [0; 8], [0; 1]);
        for part in [&mut id[..], &mut length[..], &mut first[..]] {
            from.read_exact(part)?;
        }
        Ok(Self {
            id: u64::from_be_bytes(id),
            length: u64::from_be_bytes(length),
            server_closes_first: first == [1],
        })
    }

    /// What goes there and comes back.
    fn body(self) -> anyhow::Result<Vec<u8>> {
        let bytes = (self.id..).map(|number| number.wrapping_mul(31).to_le_bytes()[0]);
        Ok(bytes.take(usize::try_from(self.length)?).collect())
    }
}

#[test]
fn flows_begin_and_end_on_bad_roads() {
    figures::check("flows-on-a-bad-road", try_flows);
}

fn try_flows(run: Run) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let mut scene = Scene::set(2, RpFilter::Off)?;
    scene.servers.clear();
    // On both sides, so that packets reach the node in every order, whoever has sent them.
    let mut roads = Vec::new();
    for pod in scene.backends.iter().chain([&scene.client]) {
        let road = Road::build(&scene.lab, pod)?;
        road.carry_single_packets(&scene.node, pod)?;
        roads.push(road);
    }
    scene.start_agent(&[])?;
    scene.wait_for_backends(2)?;
    let untranslated = Untranslated::watch(&scene)?;
    for (number, road) in (0..).zip(&mut roads) {
        let seed = run.seed + number;
        road.set(Weather { seed, ..BAD })?;
    }
    let served = serve_while(&scene, || dial(&scene, run))?;
    let mut worst = [0; 3];
    for road in &mut roads {
        for way in road.counts()? {
            let counts = [way.lost, way.doubled, way.overtook];
            ensure!(!counts.contains(&0), "the road was not bad: {way:?}");
            for (worst, count) in worst.iter_mut().zip(counts) {
                *worst += count;
            }
        }
        road.clear()?;
    }
    // For what the observers are shown.
    let _echo = Server::start(&scene.backends[0], POD_PORT)?;
    untranslated.none(&scene)?;
    ensure!(served == run.size, "{served} flows were served");
    let ends = scene.weiche.ends()?;
    for reason in FAILURES {
        let count = ends.count("ingress", reason) + ends.count("egress", reason);
        ensure!(count == 0, "{count} packets ended with {reason}");
    }
    Ok(vec![
        ("failed", json!(0)),
        ("packets lost, twice, early", json!(worst)),
        ("untranslated", json!(0)),
        ("resets by Weiche", json!(0)),
    ])
}

/// Serves both pods while somebody works; how many flows both have answered.
fn serve_while(scene: &Scene, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let served = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let mut listeners = Vec::new();
    for pod in &scene.backends {
        for address in [IpAddr::from(pod.v4), pod.v6.into()] {
            let listen = || TcpListener::bind(SocketAddr::new(address, POD_PORT));
            listeners.push(pod.namespace.run(listen)??);
        }
    }
    let (count, note_of) = (&served, &failures);
    thread::scope(|scope| {
        for listener in &listeners {
            scope.spawn(move || {
                thread::scope(|scope| {
                    while let Ok((stream, client)) = listener.accept() {
                        scope.spawn(move || match answer(stream) {
                            Ok(()) => drop(count.fetch_add(1, Ordering::Relaxed)),
                            Err(error) => note(note_of, &format!("{client}: {error:#}")),
                        });
                    }
                });
            });
        }
        let worked = work();
        for listener in &listeners {
            // Whoever waits for clients is told that none will come.
            shutdown(listener, Ways::Both)?;
        }
        worked
    })?;
    none(failures, "servers")?;
    Ok(served.into_inner())
}

fn answer(mut stream: TcpStream) -> anyhow::Result<()> {
    patiently(&stream)?;
    let wish = Wish::read(&mut stream).context("what is wished")?;
    let mut body = vec![0; usize::try_from(wish.length)?];
    stream.read_exact(&mut body).context("the body")?;
    ensure!(body == wish.body()?, "flow {}: another body", wish.id);
    stream.write_all(&body).context("answering")?;
    if wish.server_closes_first {
        stream.shutdown(Shutdown::Write)?;
    }
    let rest = stream.read(&mut [0]).context("waiting for the end")?;
    ensure!(rest == 0, "flow {}: more than wished", wish.id);
    Ok(())
}

/// Dials both families' Service as often as the run is large.
fn dial(scene: &Scene, run: Run) -> anyhow::Result<()> {
    let failures = Mutex::new(Vec::new());
    let next = AtomicU64::new(0);
    let progress = Progress::of(run);
    scene.client.namespace.run(|| {
        thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        if id >= run.size {
                            return;
                        }
                        if let Err(error) = ask(Wish::of(id, run.seed)) {
                            note(&failures, &format!("flow {id}: {error:#}"));
                        }
                        progress.step();
                    }
                });
            }
        });
    })?;
    none(failures, "clients")
}

fn ask(wish: Wish) -> anyhow::Result<()> {
    let address = if wish.id.is_multiple_of(2) {
        V4.into()
    } else {
        V6.into()
    };
    let target = SocketAddr::new(address, PORT);
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE).context("dialling")?;
    patiently(&stream)?;
    let body = wish.body()?;
    stream.write_all(&wish.bytes()).context("wishing")?;
    stream.write_all(&body).context("sending")?;
    let mut answer = vec![0; body.len()];
    stream.read_exact(&mut answer).context("the answer")?;
    ensure!(answer == body, "another answer");
    if wish.server_closes_first {
        let rest = stream.read(&mut [0]).context("waiting for the end")?;
        ensure!(rest == 0, "more than wished");
    }
    Ok(())
}

fn patiently(stream: &TcpStream) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream.set_write_timeout(Some(PATIENCE))?)
}

fn note(failures: &Mutex<Vec<String>>, failure: &str) {
    failures.lock().expect("no panic").push(failure.to_owned());
}

fn none(failures: Mutex<Vec<String>>, whose: &str) -> anyhow::Result<()> {
    let failures = failures.into_inner()?;
    let some = failures.get(..failures.len().min(5));
    ensure!(
        failures.is_empty(),
        "{whose}: {} failed: {some:?}",
        failures.len()
    );
    Ok(())
}
