// SPDX-License-Identifier: MIT OR Apache-2.0
//! Somebody who knows the ends of live connections sends resets, FINs, data and ICMP errors in the
//! name of either of them: the connections go on, and nothing of them leaves untranslated, neither
//! while they live nor after their end.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use etherparse::{SlicedPacket, TransportSlice};
use rustix::net::sockopt::set_socket_linger;
use serde::Deserialize;
use serde_json::json;
use tests::{
    chance::Chance,
    figures::{self, Run},
    observer::Observer,
    packet::{Frame, flag, icmp, tcp},
    traffic::Protocol,
    wait,
};

use crate::{
    attacker::{Attacker, serve},
    scene::{POD_PORT, Scene},
    untranslated::Untranslated,
};

/// How long an ended flow is remembered here, and for how long its late packets are sent: the end
/// of that time may come a moment early or late.
const TOMBSTONE: &str = "6s";
const LATE: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(20);

/// One flow of `weiche flow list -o json`.
#[derive(Debug, Deserialize)]
struct Listed {
    client: SocketAddr,
    protocol: String,
    state: String,
    expires_s: u64,
}

/// A connection, its ends as everybody knows them, and the numbers that nobody should.
struct Target {
    /// Until it is ended.
    stream: Option<BufReader<TcpStream>>,
    client: SocketAddr,
    service: SocketAddr,
    pod: SocketAddr,
    /// What the client sends next, and what it has acknowledged.
    numbers: [u32; 2],
    said: u64,
}

#[test]
fn forged_packets_change_nothing_about_live_connections() {
    figures::check("forged-segments", forge);
}

fn forge(run: Run) -> anyhow::Result<Vec<(&'static str, serde_json::Value)>> {
    let (mut scene, attacker) = Attacker::set(1)?;
    serve(&mut scene, &["--conntrack-tombstone", TOMBSTONE])?;
    let untranslated = Untranslated::watch(&scene)?;
    let mut targets = connect(&scene)?;
    let mut chance = Chance::new(run.seed, 0);
    let mut ends = [0, 0];
    for number in 0..run.size {
        for target in &mut targets {
            let (frame, is_end) = target.forged(&mut chance);
            attacker.sends(&frame.bytes())?;
            if let Some(hook) = is_end {
                ends[hook] += 1;
            }
            if number % 50 == 0 {
                target
                    .exchange()
                    .with_context(|| format!("after {number} packets"))?;
            }
        }
    }
    for (hook, sent) in ["ingress", "egress"].into_iter().zip(ends) {
        let counted = scene.counted(hook, "unbelieved")?;
        ensure!(
            counted == sent,
            "{hook}: {sent} forged ends, {counted} counted"
        );
    }
    go_on(&scene, &targets)?;
    // Longer than what has ended would be remembered.
    wait::pass(LATE * 2);
    for target in &mut targets {
        target.exchange().context("long after the attack")?;
    }
    go_on(&scene, &targets)?;
    let mut ways = [Target::close, Target::reset].into_iter().cycle();
    let ended = targets.iter_mut().zip(&mut ways);
    for (target, end) in ended {
        end(target).with_context(|| format!("ending {}", target.client))?;
    }
    wait::until("both flows to have ended", PATIENCE, || {
        let states = states(&scene, &targets).ok()?;
        let mut each = states.iter();
        each.all(|state| state.starts_with("tombstone"))
            .then_some(())
    })?;
    let mut late = 0_u64;
    let end = Instant::now() + LATE;
    while Instant::now() < end {
        for target in &targets {
            for frame in target.late(&mut chance) {
                attacker.sends(&frame.bytes())?;
                late += 1;
            }
        }
        wait::pass(Duration::from_millis(20));
    }
    untranslated.none(&scene)?;
    Ok(vec![
        ("broken", json!(0)),
        ("untranslated", json!(0)),
        ("forged ends", json!(ends[0] + ends[1])),
        ("late packets", json!(late)),
    ])
}

/// Opens a connection of each family, and looks at its numbers.
fn connect(scene: &Scene) -> anyhow::Result<Vec<Target>> {
    let client = &scene.client.namespace;
    let mut targets = Vec::new();
    for route in scene.routes() {
        if route.protocol != Protocol::Tcp {
            continue;
        }
        let connect = || TcpStream::connect_timeout(&route.target, PATIENCE);
        let stream = client.run(connect)?.context("connecting")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let from = stream.local_addr()?;
        let pod = &scene.backends[0];
        let pod = if from.is_ipv4() {
            pod.v4.into()
        } else {
            pod.v6.into()
        };
        let mut target = Target {
            client: from,
            service: route.target,
            pod: SocketAddr::new(pod, POD_PORT),
            stream: Some(BufReader::new(stream)),
            numbers: [0; 2],
            said: 0,
        };
        let filter = format!("tcp src port {}", from.port());
        let seen = Observer::start(&scene.lab, client, "eth0", &filter)?;
        target.exchange()?;
        // The client's ACK of the answer may come late.
        wait::pass(Duration::from_millis(200));
        target.numbers = numbers(&seen.stop()?.frames).context("nothing was seen")?;
        targets.push(target);
    }
    Ok(targets)
}

/// What the sender of the last of these segments goes on with.
fn numbers(frames: &[Vec<u8>]) -> Option<[u32; 2]> {
    let last = SlicedPacket::from_ethernet(frames.last()?).ok()?;
    let Some(TransportSlice::Tcp(tcp)) = last.transport else {
        return None;
    };
    let length = u32::try_from(tcp.payload().len()).ok()?;
    let next = tcp.sequence_number().wrapping_add(length);
    Some([next, tcp.acknowledgment_number()])
}

impl Target {
    /// Sends a line and waits for its answer.
    fn exchange(&mut self) -> anyhow::Result<()> {
        self.said += 1;
        let message = format!("{} {}\n", self.client.port(), self.said);
        let stream = self.stream.as_mut().context("it has ended")?;
        stream.get_mut().write_all(message.as_bytes())?;
        let mut answer = String::new();
        let read = stream.read_line(&mut answer);
        read.context("waiting for an answer")?;
        ensure!(
            answer.ends_with(&message),
            "{message:?} was answered {answer:?}"
        );
        self.numbers[0] = self.numbers[0].wrapping_add(u32::try_from(message.len())?);
        self.numbers[1] = self.numbers[1].wrapping_add(u32::try_from(answer.len())?);
        Ok(())
    }

    /// Ends it as all do.
    fn close(&mut self) -> anyhow::Result<()> {
        drop(self.stream.take().context("it has ended")?);
        Ok(())
    }

    /// Ends it by a reset, right behind what the backend has not acknowledged yet.
    fn reset(&mut self) -> anyhow::Result<()> {
        let mut stream = self.stream.take().context("it has ended")?.into_inner();
        set_socket_linger(&stream, Some(Duration::ZERO))?;
        Ok(stream.write_all(b"1 1\n")?)
    }

    /// A packet in the name of one of the two ends; the hook that is to doubt it, if it says that
    /// something has ended.
    fn forged(&self, chance: &mut Chance) -> (Frame, Option<usize>) {
        let (hook, from, to) = if chance.one_in(2) {
            (0, self.client, self.service)
        } else {
            (1, self.pod, self.client)
        };
        let [mut sequence, mut acknowledges] = self.numbers;
        if hook == 1 {
            std::mem::swap(&mut sequence, &mut acknowledges);
        }
        let segment = tcp(from, to);
        match chance.below(8) {
            // Within the window: the receiver asks whether it is meant so (RFC 5961, section 3.2).
            0 | 1 => {
                let near = sequence.wrapping_add(1 + u32::from(chance.half()) / 4);
                (segment.rst().numbers(near, acknowledges), Some(hook))
            }
            2 | 3 => {
                let segment = segment.rst().ack();
                (
                    segment.numbers(far(chance, sequence), far(chance, acknowledges)),
                    Some(hook),
                )
            }
            4 => {
                let segment = segment.fin();
                (
                    segment.numbers(far(chance, sequence), far(chance, acknowledges)),
                    Some(hook),
                )
            }
            5 => {
                let segment = segment.ack().payload(b"GET / HTTP/1.1\r\n");
                (
                    segment.numbers(far(chance, sequence), far(chance, acknowledges)),
                    None,
                )
            }
            6 => (segment.syn().numbers(far(chance, sequence), 0), None),
            _ => {
                // About what the receiver has sent, as its sender knows it.
                let quoted = tcp(to, from).ack().numbers(far(chance, acknowledges), 0);
                let kind = if from.is_ipv4() { [3, 3] } else { [1, 4] };
                (icmp(kind, from.ip(), to.ip()).about(&quoted, 1_000), None)
            }
        }
    }

    /// What the two ends might still send to each other, or somebody in their name.
    fn late(&self, chance: &mut Chance) -> [Frame; 3] {
        let [client, pod] = [0, 1].map(|_| far(chance, 0));
        let segment = tcp(self.pod, self.client).flags(flag::PSH);
        [
            segment.clone().ack().numbers(client, pod).payload(b"late"),
            segment.rst().numbers(client, pod),
            tcp(self.client, self.service).ack().numbers(client, pod),
        ]
    }
}

/// A number that is out of every window of the right one.
fn far(chance: &mut Chance, right: u32) -> u32 {
    let off = u32::from(chance.half()) << 15 | u32::from(chance.half());
    right.wrapping_add(1 << 30).wrapping_add(off % (1 << 31))
}

/// That the flows of both connections are as they should be.
fn go_on(scene: &Scene, targets: &[Target]) -> anyhow::Result<()> {
    let states = states(scene, targets)?;
    ensure!(states == ["established"; 2], "{states:?}");
    Ok(())
}

/// Where the flows of the connections stand, in their order.
fn states(scene: &Scene, targets: &[Target]) -> anyhow::Result<Vec<String>> {
    let flows: Vec<Listed> = scene.weiche.list(&["flow", "list"])?;
    let state = |target: &Target| {
        let mut flows = flows.iter();
        let flow = flows.find(|flow| flow.client == target.client && flow.protocol == "TCP");
        match flow {
            None => "none".to_owned(),
            // Of which one side has closed lives for an hour at most.
            Some(flow) if flow.state == "tracked" && flow.expires_s > 3_600 => {
                "established".to_owned()
            }
            Some(flow) => format!("{}, for {} s", flow.state, flow.expires_s),
        }
    };
    Ok(targets.iter().map(state).collect())
}
