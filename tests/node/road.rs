// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bad road of the harness, without Weiche: what it says has happened is what its ends see.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tests::{
    netns::{Lab, Node, Pod, RpFilter},
    road::{Counts, Road, Weather},
    wait,
};
use tests_ebpf::fate::Shares;

const PORT: u16 = 8080;
/// Datagrams of one run.
const DATAGRAMS: u32 = 2_000;
const PATIENCE: Duration = Duration::from_secs(20);
/// All that there is.
const STORM: Weather = Weather {
    shares: Shares {
        lost: 20,
        doubled: 30,
        overtaking: 40,
    },
    delay: Duration::from_millis(2),
    jitter: Duration::from_millis(3),
    seed: 0,
};

struct Ends {
    road: Road,
    client: Pod,
    pod: Pod,
    node: Node,
    _lab: Lab,
}

impl Ends {
    fn set() -> anyhow::Result<Self> {
        let lab = Lab::new("test")?;
        let node = Node::new(&lab, RpFilter::Off)?;
        let client = node.add_pod(&lab, "client", 2)?;
        Ok(Self {
            road: Road::build(&lab, &client)?,
            client,
            pod: node.add_pod(&lab, "server", 3)?,
            node,
            _lab: lab,
        })
    }

    /// Each direction's number on the road, and its ends, in both families.
    fn ways(&self) -> [(usize, [(&Pod, IpAddr); 2]); 4] {
        let (client, pod) = (&self.client, &self.pod);
        let v4 = [(client, client.v4.into()), (pod, pod.v4.into())];
        let v6 = [(client, client.v6.into()), (pod, pod.v6.into())];
        let back = |[from, to]: [_; 2]| [to, from];
        [(0, v4), (0, v6), (1, back(v4)), (1, back(v6))]
    }
}

#[test]
fn a_road_loses_doubles_and_mixes_as_it_says() -> anyhow::Result<()> {
    stay_on_one_processor()?;
    let mut ends = Ends::set()?;
    // Under emulation (tests/kernels) one is enough: there it is whether the program works at all.
    let is_emulated = tests::guest::is_emulated();
    let ways = if is_emulated { 1 } else { 4 };
    for number in 0..ways {
        let mut lost = Vec::new();
        for seed in [1, 1, 2] {
            ends.road.set(Weather { seed, ..STORM })?;
            let (way, [from, to]) = ends.ways()[number];
            let arrived = send_numbered(&ends.road, way, from, to)?;
            let counts = ends.road.counts()?[way];
            let missing = judge(&arrived, counts).with_context(|| {
                let address = from.1;
                format!("seed {seed}, from {address}: {counts:?}")
            })?;
            lost.push(missing);
        }
        assert_eq!(lost[0], lost[1], "one seed, other losses");
        assert_ne!(lost[0], lost[2], "another seed, the same losses");
    }
    ends.road.clear()?;
    let (way, [from, to]) = ends.ways()[0];
    let arrived = send_numbered(&ends.road, way, from, to)?;
    assert!(arrived.iter().copied().eq(0..DATAGRAMS), "a fair road");
    assert_eq!(ends.road.counts()?[way].held_up, 0);
    Ok(())
}

/// What one processor sends comes in the order in which it was sent.
fn stay_on_one_processor() -> anyhow::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let first = (0..CpuSet::MAX_CPU).find(|number| allowed.is_set(*number));
    let mut one = CpuSet::new();
    one.set(first.context("no processor")?);
    Ok(sched_setaffinity(None, &one)?)
}

/// Sends datagrams with numbers, and waits for all that the road lets arrive.
fn send_numbered(
    road: &Road,
    way: usize,
    from: (&Pod, IpAddr),
    to: (&Pod, IpAddr),
) -> anyhow::Result<Vec<u32>> {
    let target = SocketAddr::new(to.1, PORT);
    let receiver = to.0.namespace.run(|| UdpSocket::bind(target))??;
    receiver.set_read_timeout(Some(Duration::from_millis(50)))?;
    let bind = || UdpSocket::bind(SocketAddr::new(from.1, 0));
    let sender = from.0.namespace.run(bind)??;
    sender.connect(target)?;
    let (arrived, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(&receiver, &arrived, &is_over));
        let sent = (0..DATAGRAMS).try_for_each(|number| {
            // No faster than the other side takes them.
            if number % 20 == 19 {
                wait::pass(Duration::from_millis(1));
            }
            sender.send(&number.to_be_bytes()).map(drop)
        });
        let met = wait::until("all that was not lost", PATIENCE, || {
            let Counts {
                met, lost, doubled, ..
            } = road.counts().ok()?[way];
            let count = arrived.lock().ok()?.len();
            (u64::try_from(count) == Ok(met - lost + doubled)).then_some(met)
        });
        is_over.store(true, Ordering::Relaxed);
        receiving.join().expect("no panic")?;
        sent?;
        ensure!(met? == u64::from(DATAGRAMS), "others were under way");
        Ok(())
    })?;
    Ok(arrived.into_inner()?)
}

fn receive(
    socket: &UdpSocket,
    arrived: &Mutex<Vec<u32>>,
    is_over: &AtomicBool,
) -> anyhow::Result<()> {
    while !is_over.load(Ordering::Relaxed) {
        let mut number = [0; 4];
        match socket.recv(&mut number) {
            Ok(_length) => {
                let mut arrived = arrived.lock().expect("no panic");
                arrived.push(u32::from_be_bytes(number));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("receiving"),
        }
    }
    Ok(())
}

/// That the arrivals are what was counted; which ones are missing.
fn judge(arrived: &[u32], counts: Counts) -> anyhow::Result<BTreeSet<u32>> {
    let distinct: BTreeSet<u32> = arrived.iter().copied().collect();
    let all: BTreeSet<u32> = (0..DATAGRAMS).collect();
    let missing: BTreeSet<u32> = all.difference(&distinct).copied().collect();
    let twice = u64::try_from(arrived.len() - distinct.len())?;
    ensure!(u64::try_from(missing.len())? == counts.lost, "{missing:?}");
    ensure!(twice == counts.doubled, "{twice} came twice");
    let late = arrived.is_sorted();
    ensure!(!late, "none has overtaken another");
    ensure!(counts.held_up == counts.let_go, "some are held up for good");
    let sent_on = counts.met - counts.lost;
    ensure!(counts.held_up + counts.overtook >= sent_on);
    for (what, count, share) in [
        ("lost", counts.lost, STORM.shares.lost),
        ("doubled", counts.doubled, STORM.shares.doubled),
        ("overtook", counts.overtook, STORM.shares.overtaking),
    ] {
        // Six standard deviations and more of a share of 2 %.
        let even = u64::from(DATAGRAMS) * share / tests_ebpf::fate::SCALE;
        ensure!(count.abs_diff(even) <= even, "{what}: {count} of {even}");
        ensure!(count > 0, "none {what}");
    }
    Ok(missing)
}

#[test]
fn a_road_keeps_what_offloads_have_left_undone() -> anyhow::Result<()> {
    const BYTES: usize = 4_000_000;
    let mut ends = Ends::set()?;
    let sent: Vec<u8> = (0..251).cycle().take(BYTES).collect();
    for is_whole in [true, false] {
        if !is_whole {
            ends.road.carry_single_packets(&ends.node, &ends.client)?;
        }
        for number in 0..4 {
            ends.road.set(Weather {
                delay: Duration::from_millis(1),
                ..Weather::default()
            })?;
            let (way, [from, to]) = ends.ways()[number];
            let target = SocketAddr::new(to.1, PORT);
            let listener = to.0.namespace.run(|| TcpListener::bind(target))??;
            let mut stream = from.0.namespace.run(|| TcpStream::connect(target))??;
            let (mut other, _) = listener.accept()?;
            let mut received = Vec::new();
            thread::scope(|scope| {
                let sending = scope.spawn(|| {
                    stream.write_all(&sent)?;
                    stream.shutdown(Shutdown::Write)
                });
                let end = other.read_to_end(&mut received);
                sending.join().expect("no panic").and(end)
            })?;
            ensure!(received == sent, "something else has arrived");
            let met = usize::try_from(ends.road.counts()?[way].met)?;
            // A link carries 1,500 bytes.
            ensure!(
                (met < BYTES / 1_500) == is_whole,
                "{BYTES} bytes were {met} packets"
            );
        }
    }
    Ok(())
}
