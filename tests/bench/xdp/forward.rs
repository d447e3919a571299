// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets of a second, through a node that has the client behind one uplink and the backends
//! behind another: Weiche by XDP, netfilter's rules, and what no balancer gets below.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, ensure};
use tests::{
    api_server::ApiServer,
    early::{Does, Early},
    netns::Namespace,
    packet::udp,
    source::{Sink, Source},
    wait,
};

use crate::{
    Bench, ENDPOINTS, Scale,
    agent::{self, Agent},
    cluster::{self, Cluster},
    estimate::{Budget, Estimate},
    nft,
    path::cpu,
    report::{Cell, Report, Section, Table, Target},
    ruleset,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    /// A program at the node that sends every frame back.
    Turn,
    Weiche,
    Netfilter,
}

impl Contender {
    const fn name(self) -> &'static str {
        match self {
            Self::Turn => "XDP_TX back, and nothing else",
            Self::Weiche => "Weiche, XDP",
            Self::Netfilter => "nft",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Weiche => "xdp",
            Self::Netfilter => "dnat",
        }
    }
}

/// Where frames end.
enum End {
    Early(Early),
    Stack(Sink),
}

impl End {
    fn taken(&self) -> anyhow::Result<u64> {
        match self {
            Self::Early(early) => early.taken(),
            Self::Stack(sink) => sink.taken(),
        }
    }
}

/// What serves; it ends with the value.
#[expect(dead_code, reason = "held, so that they go on")]
enum Serving {
    Turn(Early),
    Agent(Agent, ApiServer),
    Rules,
}

/// Three namespaces of one contender, with everything that they need.
struct World {
    contender: Contender,
    source: Source,
    end: End,
    _serving: Serving,
    client: Namespace,
    _node: Namespace,
    _backend: Namespace,
    per_second: Vec<f64>,
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The station of the node's end of the client's link.
const STATION: &str = "02:00:00:00:00:02";
/// The Service that is dialled.
const ASKED: u32 = 0;
/// Frames that are sent at a time.
const PIECE: u32 = 65_536;
/// As in `path`.
const FLOWS: u16 = 0x0fff;
const FIRST_PORT: u16 = 0x4000;
const PAYLOAD: [u8; 18] = *b"\xff\xff................";

/// What all its rows are called.
pub(super) const NAME: &str = "from one uplink to another";

/// Measures in turns, and says what came of it.
pub(super) fn measure(
    bench: &Bench,
    section: &mut Section,
    report: &mut Report,
) -> anyhow::Result<()> {
    let services = match bench.scale {
        Scale::Full | Scale::Quick => 1_000,
        Scale::Smoke => 2,
    };
    let mut contenders = vec![Contender::Turn, Contender::Weiche];
    if nft::is_there() {
        contenders.push(Contender::Netfilter);
    }
    let worlds = contenders.into_iter();
    let worlds = worlds.map(|contender| {
        bench.progress.now(&format!("xdp: {}", contender.name()));
        World::new(bench, contender, services).context(contender.name())
    });
    let mut worlds: Vec<World> = worlds.collect::<anyhow::Result<_>>()?;
    let processor = cpu::last()?;
    let seconds = match bench.scale {
        Scale::Full => 60,
        Scale::Quick => 8,
        Scale::Smoke => 0,
    };
    let effort = Budget::of_seconds(seconds, 1).take(bench.scale.effort());
    effort.rounds(|number| {
        bench.progress.now(&format!("xdp: packets, round {number}"));
        for world in &mut worlds {
            world.turn(processor, bench.scale)?;
        }
        Ok(worlds
            .iter()
            .all(|world| Estimate::median(&world.per_second).is_tight()))
    })?;
    let rows = worlds.iter().map(|world| {
        let per_second = Estimate::median(&world.per_second);
        vec![
            Cell::text(world.contender.name()),
            Cell::Figure(per_second, "packets/s"),
        ]
    });
    section.tables.push(Table {
        title: format!("From one uplink to another, one processor, {services} Services"),
        columns: ["through", "packets of a second of the processor"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.collect(),
    });
    if bench.scale == Scale::Smoke {
        report.absent("T5-xdp", "not of this size");
        return Ok(());
    }
    let of = |contender| worlds.iter().find(|world| world.contender == contender);
    let Some((ours, theirs)) = of(Contender::Weiche).zip(of(Contender::Netfilter)) else {
        report.absent("T5-xdp", "nft is not there");
        return Ok(());
    };
    let rounds = ours.per_second.iter().zip(&theirs.per_second);
    let times: Vec<f64> = rounds.map(|(ours, theirs)| ours / theirs).collect();
    let what = "XDP: a processor's packets to nft's, at least";
    let target = Target::at_least(
        "T5-xdp",
        what,
        (4.5, "x packets/s"),
        Estimate::median(&times),
    );
    report.target(target);
    Ok(())
}

impl World {
    fn new(bench: &Bench, contender: Contender, services: u32) -> anyhow::Result<Self> {
        let label = contender.label();
        let make = |part: &str| bench.lab.namespace(&format!("{label}-{part}"));
        let (client, node, backend) = (make("client")?, make("node")?, make("backend")?);
        connect(&client, &node, &backend)?;
        let cluster = &Cluster::new(services, ENDPOINTS).with_udp(ASKED);
        let (serving, end) = match contender {
            Contender::Turn => {
                let turn = Early::open(Does::Turn, &node, "up0")?;
                (
                    Serving::Turn(turn),
                    End::Early(Early::open(Does::Take, &client, "eth0")?),
                )
            }
            Contender::Weiche => {
                let end = Early::open(Does::Take, &backend, "eth0")?;
                let api = agent::serve(&node, cluster)?;
                let flags = [
                    "--edge",
                    "none",
                    "--uplink",
                    "up*",
                    "--xdp",
                    "native",
                    "--direct-delivery",
                    "on",
                ];
                let agent = Agent::start(bench, &node, &api, cluster, &flags)?;
                (Serving::Agent(agent, api), End::Early(end))
            }
            Contender::Netfilter => {
                nft::load(bench, &node, services)?.context("the rules took too long")?;
                let udp = ruleset::add(ASKED..ASKED + 1, ENDPOINTS, "udp");
                nft::run(bench, &node, &udp)?;
                (Serving::Rules, End::Stack(Sink::open(&backend, "eth0")?))
            }
        };
        let target = (cluster::cluster_ip(ASKED), 80).into();
        let datagram = udp((CLIENT, 0).into(), target).payload(&PAYLOAD).bytes();
        let places = [14 + 20, 14 + 20 + 8, 14 + 20 + 8];
        let numbers = (places, [FLOWS, FIRST_PORT]);
        let source = Source::open_sending(&client, "eth0", &datagram, numbers)?;
        let mut world = Self {
            contender,
            source,
            end,
            _serving: serving,
            client,
            _node: node,
            _backend: backend,
            per_second: Vec::new(),
        };
        world.warm_up()?;
        Ok(world)
    }

    /// Until frames arrive: uplinks are told to the programs after the Services.
    fn warm_up(&mut self) -> anyhow::Result<()> {
        wait::until("frames to arrive", Duration::from_secs(10), || {
            let before = self.end.taken().ok()?;
            self.client.run(|| self.source.send(64)).ok()?.ok()?;
            (self.end.taken().ok()? - before >= 64).then_some(())
        })
    }

    /// Sends a piece of them: how many arrived, for each second of the processor.
    fn turn(&mut self, processor: usize, scale: Scale) -> anyhow::Result<()> {
        // Others may keep a link's buffer full; it matters where something is measured.
        let (count, least) = if scale == Scale::Smoke {
            (4_096, 1)
        } else {
            (PIECE, u64::from(PIECE) / 10 * 9)
        };
        let softirq = cpu::kernel_thread(processor)?;
        let (source, end) = (&self.source, &self.end);
        let (arrived, used) = self.client.run(|| {
            cpu::pin(processor)?;
            let used = || -> anyhow::Result<u64> {
                let of_kernel = softirq.map(cpu::of_thread_ns).transpose()?;
                Ok(cpu::own_ns() + of_kernel.unwrap_or(0))
            };
            // Code is patched before the first one.
            source.send(64)?;
            let (taken, before) = (end.taken()?, used()?);
            source.send(count)?;
            anyhow::Ok((end.taken()? - taken, used()? - before))
        })??;
        ensure!(
            arrived >= least,
            "{arrived} of {count} frames arrived through {}",
            self.contender.name()
        );
        let used = Duration::from_nanos(used).as_secs_f64();
        self.per_second
            .push(f64::from(u32::try_from(arrived)?) / used);
        Ok(())
    }
}

/// Client and backend at an uplink each, with stations that are known.
fn connect(client: &Namespace, node: &Namespace, backend: &Namespace) -> anyhow::Result<()> {
    node.sysctl("net/ipv4/ip_forward", "1")?;
    let (c, n, b) = (client.name(), node.name(), backend.name());
    node.ip(&format!(
        "link add name up0 address {STATION} netns {n} type veth peer name eth0 netns {c}\n\
         link add name up1 netns {n} type veth peer name eth0 netns {b}\n"
    ))?;
    client.ip(&format!(
        "link set eth0 address 02:00:00:00:00:01 up\naddr add {CLIENT}/24 dev eth0\n"
    ))?;
    backend
        .ip("link set eth0 address 02:00:00:00:00:03 up\naddr add 198.51.100.2/24 dev eth0\n")?;
    node.ip(&format!(
        "link set up0 up\n\
         link set up1 up\n\
         addr add 192.0.2.10/24 dev up0\n\
         addr add 198.51.100.10/24 dev up1\n\
         neigh add {CLIENT} lladdr 02:00:00:00:00:01 dev up0 nud permanent\n\
         neigh add 198.51.100.2 lladdr 02:00:00:00:00:03 dev up1 nud permanent\n\
         route add 10.0.0.0/9 via 198.51.100.2 dev up1\n"
    ))?;
    for link in ["up0", "up1"] {
        node.wait_for_link(link)?;
        // As a NIC's driver, whose packets come in batches.
        node.take_xdp_frames(link)?;
    }
    Ok(())
}
