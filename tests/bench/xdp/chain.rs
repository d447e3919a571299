// SPDX-License-Identifier: MIT OR Apache-2.0
//! Services of which each has the next one's address as its only backend, behind one uplink: what
//! a run of the program has sent on is the next run's packet, of the next flow.
//!
//! A packet that is sent on has one hop less, so a test run is of some two hundred packets.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, ensure};
use lb_common::{
    verdict::Reason,
    wire::{Service, protocol::TCP},
};
use lb_userspace::datapath::OBJECT;
use tests::{
    kernel::{Hook, Kernel, Sizes},
    link,
    netns::{Lab, Namespace},
    packet::{Frame, tcp},
    tables::Memory,
};

use crate::packet::ring::Ip;

/// Hops that packets begin with, and how many of them a test run uses.
const HOPS: u8 = 255;
const RUN: u32 = 200;
/// The node's port, and everybody's in flows that are known.
const PORT: u16 = 40_000;
/// Flows that begin before all are forgotten.
const NEW: u32 = 8_000;
/// Sequence numbers of both sides' SYNs, the same in all flows.
const CLIENT: u32 = 1_000;
const BACKEND: u32 = 2_000;

/// The programs, with Services in their maps and an uplink that leads to all of them.
pub(super) struct Chain {
    kernel: Kernel,
    memory: Memory,
    ip: Ip,
    services: u32,
    uplink: u32,
    node: Namespace,
    _beyond: Namespace,
}

/// What the node has at its uplink and who is next there, of either family; frames are sent to the
/// station that the harness's are, over and over.
pub(super) const LINKS: &str = "\
    link set up0 up\n\
    addr add 192.0.2.10/24 dev up0\n\
    addr add 2001:db8::10/64 dev up0 nodad\n\
    neigh add 192.0.2.1 lladdr 02:00:00:00:00:02 dev up0 nud permanent\n\
    neigh add 2001:db8::1 lladdr 02:00:00:00:00:02 dev up0 nud permanent\n\
    route add default via 192.0.2.1 dev up0\n\
    route add default via 2001:db8::1 dev up0\n";

/// Who is seen as the node, and dials: nobody's address here, so that a packet may come from it.
const SHOWN: [&str; 2] = ["203.0.113.1", "2001:db8:113::1"];

impl Chain {
    pub(super) fn new(lab: &Lab, ip: Ip, services: u32) -> anyhow::Result<Self> {
        let (node, beyond) = (lab.namespace("chain")?, lab.namespace("beyond")?);
        node.sysctl("net/ipv4/ip_forward", "1")?;
        node.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        node.ip(&format!(
            "link add name up0 type veth peer name eth0 netns {}\n",
            beyond.name()
        ))?;
        beyond.ip("link set eth0 up\n")?;
        node.ip(LINKS)?;
        node.wait_for_link("up0")?;
        let uplink = node.run(|| link::index("up0"))??;
        let sizes = Sizes {
            // A hash that is full to the last element would show a clash's cost, not a flow's.
            flows: 2 * services.max(NEW),
            // An LRU map keeps some hundreds of its elements for each processor.
            half_open: 2 * services.max(NEW) + 4_096,
            masks: 2 * services.max(NEW),
            frontends: 2 * services + 8,
            backends: services + 1,
            ..Sizes::default()
        };
        let mut kernel = Kernel::load_in_real_time(OBJECT, sizes)?;
        let mut memory = Memory::default();
        for number in 0..services {
            let next = ip.service((number + 1) % services);
            memory.add_backend(number + 1, next, TCP);
            memory.add_service(ip.service(number), TCP, &[number + 1]);
        }
        memory.add_service(ip.without_endpoints(), TCP, &[]);
        memory.add_service(ip.closed(), TCP, &[1]);
        memory.set_flags(ip.closed(), TCP, Service::RANGES);
        memory.add_uplink(uplink, SHOWN.map(|text| text.parse().expect("an address")));
        memory.node.direct_until_ns = u64::MAX;
        memory.node.refusals.interval_ns = 0;
        kernel.copy_from(&memory)?;
        Ok(Self {
            kernel,
            memory,
            ip,
            services,
            uplink,
            node,
            _beyond: beyond,
        })
    }

    fn shown(&self) -> IpAddr {
        let [v4, v6] = SHOWN.map(|text| text.parse().expect("an address"));
        if self.ip == Ip::V4 { v4 } else { v6 }
    }

    /// A client's packet for a Service.
    fn request(&self, port: u16, number: u32) -> Frame {
        let client = (self.shown(), port).into();
        tcp(client, self.ip.service(number)).hops(HOPS)
    }

    /// Opens one flow for each Service, all of the same ports, which are the node's as well: so the
    /// last one's packets lead to the first.
    pub(super) fn open(&mut self) -> anyhow::Result<()> {
        let node = (self.shown(), PORT).into();
        let mut memory = self.memory.clone();
        for number in 0..self.services {
            memory.add_masquerade(node, self.ip.service(number), node, TCP);
        }
        self.kernel.copy_flows(&memory)?;
        self.lap(Reason::Relayed, |chain, number| {
            chain.request(PORT, number).syn().numbers(CLIENT, 0)
        })?;
        // Answers go round the other way.
        let services = self.services;
        self.lap(Reason::RelayedBack, |chain, number| {
            let backend = chain.ip.service((services - number) % services);
            let answer = tcp(backend, node).hops(HOPS).syn_ack();
            answer.numbers(BACKEND, CLIENT + 1)
        })?;
        self.known_ns().map(drop)
    }

    /// Nanoseconds of a packet of a flow that is known; each run is of the next flow.
    pub(super) fn known_ns(&mut self) -> anyhow::Result<f64> {
        self.lap(Reason::Relayed, |chain, number| {
            chain
                .request(PORT, number)
                .ack()
                .numbers(CLIENT + 1, BACKEND + 1)
        })
    }

    /// The same of a backend's answer.
    pub(super) fn reply_ns(&mut self) -> anyhow::Result<f64> {
        let node = (self.shown(), PORT).into();
        let services = self.services;
        self.lap(Reason::RelayedBack, |chain, number| {
            let backend = chain.ip.service((services - number) % services);
            let answer = tcp(backend, node).hops(HOPS).ack();
            answer.numbers(BACKEND + 1, CLIENT + 1)
        })
    }

    /// Nanoseconds of the first packet of a flow: all of so many are new.
    pub(super) fn new_ns(&mut self) -> anyhow::Result<f64> {
        self.kernel.copy_flows(&self.memory)?;
        let (mut port, mut number) = (PORT, 0);
        let count = NEW;
        let mut sum = Duration::ZERO;
        let before = self.count(Reason::Relayed)?;
        for _run in 0..count / RUN {
            let frame = self.request(port, number).syn().bytes();
            let (took, after) = self.run(&frame, RUN)?;
            sum += took * RUN;
            let at = if self.ip == Ip::V4 { 34 } else { 54 };
            let ports = after.get(at..at + 2).context("a packet without ports")?;
            port = u16::from_be_bytes(ports.try_into()?);
            number = (number + RUN) % self.services;
        }
        let met = self.count(Reason::Relayed)? - before;
        let count = count / RUN * RUN;
        ensure!(met == u64::from(count), "{met} of {count} flows are new");
        Ok(sum.as_secs_f64() * 1e9 / f64::from(count))
    }

    /// Nanoseconds of a packet that no Service is dialled by.
    pub(super) fn no_service_ns(&mut self) -> anyhow::Result<f64> {
        let client = (self.shown(), PORT).into();
        let frame = tcp(client, self.ip.stranger()).ack().bytes();
        self.same(Reason::Continued, &frame, 10_000)
    }

    /// Nanoseconds of a client's that may not dial, and is not told.
    pub(super) fn dropped_ns(&mut self) -> anyhow::Result<f64> {
        let client = (self.shown(), PORT).into();
        let frame = tcp(client, self.ip.closed()).syn().bytes();
        self.same(Reason::NotAdmitted, &frame, 10_000)
    }

    /// Nanoseconds of the answer to who dials a Service without endpoints, each by itself.
    pub(super) fn refused_ns(&mut self) -> anyhow::Result<f64> {
        let client = (self.shown(), PORT).into();
        let frame = tcp(client, self.ip.without_endpoints()).syn().bytes();
        let mut sum = 0.0;
        for _run in 0..RUN {
            sum += self.same(Reason::Refused, &frame, 1)?;
        }
        Ok(sum / f64::from(RUN))
    }

    /// So many runs on a packet that stays as it is.
    fn same(&mut self, end: Reason, frame: &[u8], times: u32) -> anyhow::Result<f64> {
        let before = self.count(end)?;
        let (took, _) = self.run(frame, times)?;
        let met = self.count(end)? - before;
        ensure!(met == u64::from(times), "{met} of {times} runs are {end:?}");
        Ok(took.as_secs_f64() * 1e9)
    }

    /// One packet of each flow, and of some more than once where there are few; the nanoseconds of
    /// one.
    fn lap(&mut self, end: Reason, frame: impl Fn(&Self, u32) -> Frame) -> anyhow::Result<f64> {
        let runs = self.services.div_ceil(RUN).max(20);
        let (mut sum, mut number) = (Duration::ZERO, 0);
        let before = self.count(end)?;
        for _run in 0..runs {
            let frame = frame(self, number).bytes();
            let (took, _) = self.run(&frame, RUN)?;
            sum += took;
            number = (number + RUN) % self.services;
        }
        let (met, all) = (self.count(end)? - before, u64::from(runs) * u64::from(RUN));
        ensure!(met == all, "{met} of {all} packets are {end:?}");
        Ok(sum.as_secs_f64() * 1e9 / f64::from(runs))
    }

    fn run(&mut self, frame: &[u8], times: u32) -> anyhow::Result<(Duration, Vec<u8>)> {
        let (programs, uplink) = (&mut self.kernel.programs, self.uplink);
        let ran = self.node.run(|| programs.run_early(frame, uplink, times))?;
        let (took, ran) = ran?;
        Ok((took, ran.frame))
    }

    fn count(&self, end: Reason) -> anyhow::Result<u64> {
        self.kernel.count(Hook::Uplink, end)
    }
}
