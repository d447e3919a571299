// SPDX-License-Identifier: MIT OR Apache-2.0
//! On a bad road, a Service costs nothing: TCP brings as much to its end as it does to the same pod
//! where no Weiche runs, nobody is reset, and no packet leaves as the backend has sent it.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::net::sockopt::set_socket_send_buffer_size;
use serde_json::{Value, json};
use tests::{
    figures::{self, Run},
    netns::RpFilter,
    observer::{Observer, Seen},
    road::{Road, Weather},
    traffic::Server,
    wait,
};
use tests_ebpf::fate::Shares;

use crate::{
    scene::{POD_PORT, PORT, Scene, V4, V6},
    untranslated::Untranslated,
};

/// Connections at a time: their losses even out.
const CONNECTIONS: usize = 32;
/// How long bytes are counted, and how long nobody counts before that.
const SPAN: Duration = Duration::from_secs(2);
const LEAD: Duration = Duration::from_secs(1);
/// What a sender may have unsent: more than is ever under way here.
const UNSENT: usize = 128 << 10;
const PATIENCE: Duration = Duration::from_secs(20);
/// A port that nobody serves.
const CLOSED: u16 = 9;
/// At least this share of the goodput without Weiche.
const LEAST: f64 = 0.95;
/// 1 % is lost; 5 ms of jitter, and some overtake or come twice.
const BAD: Weather = Weather {
    shares: Shares {
        lost: 10,
        doubled: 10,
        overtaking: 10,
    },
    // So far that no processor is busy: what Weiche costs one is not the question here.
    delay: Duration::from_millis(40),
    jitter: Duration::from_millis(5),
    seed: 0,
};
/// Resets, of both families.
const RESETS: &str = "tcp[tcpflags] & tcp-rst != 0 or (ip6[6] = 6 and ip6[53] & 4 != 0)";

/// One path: a client, a bad road, a node and a pod.
struct Path {
    road: Road,
    scene: Scene,
    /// What the client dials in each family.
    targets: [SocketAddr; 2],
    listeners: [TcpListener; 2],
}

/// Open connections from who sends to who receives, and who looks for resets.
struct Trial {
    family: usize,
    connections: Vec<[TcpStream; 2]>,
    observers: [Observer; 2],
}

impl Path {
    fn set(is_served: bool) -> anyhow::Result<Self> {
        let mut scene = Scene::set(1, RpFilter::Off)?;
        scene.servers.clear();
        let road = Road::build(&scene.lab, &scene.client)?;
        road.carry_single_packets(&scene.node, &scene.client)?;
        let pod = &scene.backends[0];
        for namespace in [&pod.namespace, &scene.client.namespace] {
            // Each connection finds out for itself what its path is like.
            namespace.sysctl("net/ipv4/tcp_no_metrics_save", "1")?;
        }
        let pods: [IpAddr; 2] = [pod.v4.into(), pod.v6.into()];
        let pods = pods.map(|address| SocketAddr::new(address, POD_PORT));
        let listen = |at: SocketAddr| pod.namespace.run(|| TcpListener::bind(at));
        let listeners = [listen(pods[0])??, listen(pods[1])??];
        let targets = if is_served {
            scene.start_agent(&[])?;
            scene.wait_for_backends(1)?;
            [V4.into(), V6.into()].map(|address: IpAddr| SocketAddr::new(address, PORT))
        } else {
            pods
        };
        Ok(Self {
            road,
            scene,
            targets,
            listeners,
        })
    }

    /// Opens connections, and makes the road bad.
    fn begin(&mut self, family: usize, is_up: bool, seed: u64) -> anyhow::Result<Trial> {
        let (target, listener) = (self.targets[family], &self.listeners[family]);
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let connect = || TcpStream::connect_timeout(&target, PATIENCE);
            let client = self.scene.client.namespace.run(connect)?;
            let client = client.with_context(|| format!("dialling {target}"))?;
            let (pod, _client) = listener.accept()?;
            connections.push(if is_up { [client, pod] } else { [pod, client] });
        }
        // Once all of them are there, so that no run begins with a lost SYN.
        let observers = self.watch_resets()?;
        self.road.set(Weather { seed, ..BAD })?;
        Ok(Trial {
            family,
            connections,
            observers,
        })
    }

    /// That the road was bad and nobody was reset.
    fn end(&mut self, trial: Trial) -> anyhow::Result<()> {
        let Trial {
            family,
            connections,
            observers,
        } = trial;
        self.prove_it_was_bad()?;
        // All ends are open until here: who closes while packets still come twice resets the other
        // end, and that would be nobody's fault.
        self.road.clear()?;
        self.none_but_shown(observers, family)?;
        drop(connections);
        Ok(())
    }

    /// Observers of resets, at the client and at the pod.
    fn watch_resets(&self) -> anyhow::Result<[Observer; 2]> {
        let Scene {
            lab,
            client,
            backends,
            ..
        } = &self.scene;
        let watch = |at| Observer::start(lab, at, "eth0", RESETS);
        Ok([watch(&client.namespace)?, watch(&backends[0].namespace)?])
    }

    /// That no reset was seen, by observers who can see: each is shown one, the answer to somebody
    /// from outside.
    fn none_but_shown(&self, observers: [Observer; 2], family: usize) -> anyhow::Result<()> {
        for pod in [&self.scene.client, &self.scene.backends[0]] {
            let address = [IpAddr::from(pod.v4), pod.v6.into()][family];
            let closed = SocketAddr::new(address, CLOSED);
            let outside = &self.scene.node.outside.namespace;
            let dialled = outside.run(|| TcpStream::connect_timeout(&closed, PATIENCE))?;
            ensure!(dialled.is_err(), "{closed} is served");
        }
        for observer in observers {
            let resets = observer.stop()?.packets()?;
            let (shown, others) = resets
                .iter()
                .partition::<Vec<&Seen>, _>(|seen| seen.source_port == CLOSED);
            ensure!(others.is_empty(), "resets: {others:?}");
            ensure!(!shown.is_empty(), "an observer sees no resets");
        }
        Ok(())
    }

    /// That packets were lost, came twice and overtook, both ways.
    fn prove_it_was_bad(&self) -> anyhow::Result<()> {
        let counts = self.road.counts()?;
        for way in counts {
            let is_bad = way.lost > 0 && way.doubled > 0 && way.overtook > 0 && way.held_up > 0;
            ensure!(is_bad, "the road was not bad: {counts:?}");
        }
        Ok(())
    }
}

/// The goodput of both paths on the same bad road, in MB/s.
///
/// Both at a time, so that whatever else the machine does is the same for both.
fn goodput(
    [plain, served]: &mut [Path; 2],
    family: usize,
    is_up: bool,
    seed: u64,
) -> anyhow::Result<[f64; 2]> {
    let trials = [
        plain.begin(family, is_up, seed)?,
        served.begin(family, is_up, seed)?,
    ];
    let bytes = thread::scope(|scope| {
        let both = trials.each_ref().map(|trial| {
            let connections = &trial.connections;
            scope.spawn(|| transfer(connections))
        });
        both.map(|path| path.join().expect("no panic"))
    });
    let [of_plain, of_served] = trials;
    plain.end(of_plain)?;
    served.end(of_served)?;
    let [plain, served] = bytes;
    let rate = |bytes| anyhow::Ok(f64::from(u32::try_from(bytes)?) / 1e6 / SPAN.as_secs_f64());
    Ok([
        rate(plain.context("without Weiche")?)?,
        rate(served.context("through the Service")?)?,
    ])
}

/// Sends from the first end of each connection to the second; how many bytes arrive in [`SPAN`].
fn transfer(connections: &[[TcpStream; 2]]) -> anyhow::Result<u64> {
    for [from, to] in connections {
        set_socket_send_buffer_size(from, UNSENT)?;
        for end in [from, to] {
            end.set_read_timeout(Some(PATIENCE))?;
            end.set_write_timeout(Some(PATIENCE))?;
        }
    }
    let (arrived, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (arrived, is_over) = (&arrived, &is_over);
    thread::scope(|scope| {
        let mut ends = Vec::new();
        for [from, to] in connections {
            ends.push(scope.spawn(move || {
                thread::scope(|scope| {
                    let sending = scope.spawn(|| send(from, is_over));
                    let received = receive(to, arrived);
                    let sent = sending.join().expect("no panic")?;
                    ensure!(received? == sent, "not all of {sent} bytes have arrived");
                    Ok(())
                })
            }));
        }
        wait::pass(LEAD);
        let before = arrived.load(Ordering::Relaxed);
        wait::pass(SPAN);
        let bytes = arrived.load(Ordering::Relaxed) - before;
        is_over.store(true, Ordering::Relaxed);
        for end in ends {
            end.join().expect("no panic")?;
        }
        Ok(bytes)
    })
}

/// Byte N of what is sent is N modulo this, so that a byte at another place is noticed.
const PERIOD: usize = 251;
const CHUNK: usize = 16_384;

/// Enough of that for a chunk from any place on.
fn pattern() -> Vec<u8> {
    (0..=250).cycle().take(CHUNK + PERIOD).collect()
}

fn send(mut to: &TcpStream, is_over: &AtomicBool) -> anyhow::Result<usize> {
    let (pattern, mut sent) = (pattern(), 0);
    while !is_over.load(Ordering::Relaxed) {
        let chunk = &pattern[sent % PERIOD..][..CHUNK];
        to.write_all(chunk).context("sending")?;
        sent += chunk.len();
    }
    to.shutdown(Shutdown::Write)?;
    Ok(sent)
}

fn receive(mut from: &TcpStream, arrived: &AtomicU64) -> anyhow::Result<usize> {
    let (pattern, mut received) = (pattern(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = from.read(&mut buffer).context("receiving")?;
        if length == 0 {
            return Ok(received);
        }
        let expected = &pattern[received % PERIOD..][..length];
        ensure!(buffer[..length] == *expected, "wrong bytes at {received}");
        received += length;
        arrived.fetch_add(u64::try_from(length)?, Ordering::Relaxed);
    }
}

#[test]
fn a_service_costs_no_goodput_on_a_bad_road() {
    figures::check("goodput-on-a-bad-road", compare);
}

fn compare(run: Run) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let mut paths = [Path::set(false)?, Path::set(true)?];
    let untranslated = Untranslated::watch(&paths[1].scene)?;
    // Of each family and direction: MB/s through the Service, by that without Weiche.
    let (mut ratios, mut rates) = ([const { Vec::new() }; 4], Vec::new());
    // Whoever has bad luck is measured once more as long.
    for round in 0..2 * run.size {
        if round == run.size && judge(&ratios).is_ok() {
            break;
        }
        for (row, ratios) in ratios.iter_mut().enumerate() {
            let (family, is_up) = (row / 2, row.is_multiple_of(2));
            let [plain, served] = goodput(&mut paths, family, is_up, run.seed + round)?;
            ratios.push(served / plain);
            rates.push(served);
        }
    }
    judge(&ratios)?;
    let [_plain, of_weiche] = paths;
    // For what the observers are shown.
    drop(of_weiche.listeners);
    let _server = Server::start(&of_weiche.scene.backends[0], POD_PORT)?;
    untranslated.none(&of_weiche.scene)?;
    let (ratio, error) = mean(&ratios.concat());
    let each = ratios.each_ref().map(|ratios| hundredths(mean(ratios).0));
    Ok(vec![
        ("of the goodput without Weiche", json!(hundredths(ratio))),
        ("standard error", json!(hundredths(error))),
        ("IPv4 up, down, IPv6 up, down", json!(each)),
        ("MB/s", json!(hundredths(mean(&rates).0))),
        ("rounds", json!(rates.len() / 4)),
        ("resets", json!(0)),
        ("untranslated", json!(0)),
    ])
}

/// That in neither direction the goodput is less than it should be, by more than chance explains.
fn judge([v4_up, v4_down, v6_up, v6_down]: &[Vec<f64>; 4]) -> anyhow::Result<()> {
    for (way, ratios) in [("up", [v4_up, v6_up]), ("down", [v4_down, v6_down])] {
        let ratios: Vec<f64> = ratios.into_iter().flatten().copied().collect();
        let (ratio, error) = mean(&ratios);
        ensure!(
            ratio + 2.0 * error >= LEAST,
            "{way}: {ratio:.3} ± {error:.3} of the goodput; {ratios:.3?}"
        );
    }
    Ok(())
}

/// The mean of some numbers, and its standard error.
fn mean(numbers: &[f64]) -> (f64, f64) {
    let count = f64::from(u32::try_from(numbers.len()).unwrap_or(u32::MAX));
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    (mean, (squares / (count * (count - 1.0).max(1.0))).sqrt())
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
