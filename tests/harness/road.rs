// SPDX-License-Identifier: MIT OR Apache-2.0
//! A bad road between a pod and its node: packets get lost, come twice, are held up and overtake
//! each other, in both directions alike. Neither end can tell it from a bad link.
//!
//! The pod's link is cut in two, in a namespace of the road's own. A BPF program there, of
//! `tests/ebpf`, takes each packet that comes in at one end and sends it out at the other, twice or
//! never. What is to be held up leaves by a *siding*: a link at whose end the delay line
//! waits, in user space, since not every kernel has a queue that holds packets back (netem, fq).
//!
//! The road decides over packets as links see them: with offloads on, TCP hands over 64 KiB at
//! once, and one loss is forty in a row. [`Road::carry_single_packets`] switches them off.

mod delay;

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, PerCpuArray, PerCpuValues},
    programs::{SchedClassifier, TcAttachType},
};
use delay::{DelayLine, Siding};

use tests_ebpf::fate::{Shares, count, setting};

use crate::{
    hook, link,
    netns::{Lab, Namespace, Node, Pod},
    wait,
};

/// The program, which is no part of `weiche`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/road-bpf"));
/// The ends of the road, towards the pod and towards the node.
const ENDS: [&str; 2] = ["near", "far"];
/// Where packets of each direction are held up: the program's end and the delay line's.
const SIDINGS: [[&str; 2]; 2] = [["up0", "up1"], ["down0", "down1"]];
/// For packets that are held up to be let go.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happens to packets under way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Which packets are lost, come twice or overtake, in thousandths.
    pub shares: Shares,
    /// How long those that do not overtake are held up, in any case.
    pub delay: Duration,
    /// And how much longer at most; evenly spread. It lets no packet overtake another.
    pub jitter: Duration,
    /// The same seed does the same to the same packets.
    pub seed: u64,
}

/// What has happened since the weather was last set, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came, but for those that no flow is made of (ARP, ICMP).
    pub met: u64,
    /// Of them, so many were lost.
    pub lost: u64,
    /// So many went on twice.
    pub doubled: u64,
    /// So many were let overtake.
    pub overtook: u64,
    /// Packets, second ones included, that were held up.
    pub held_up: u64,
    /// Of them, so many have gone on.
    pub let_go: u64,
}

/// A road; fair until the weather is set.
#[derive(Debug)]
pub struct Road {
    line: DelayLine,
    /// From the pod to the node, and back.
    ways: [Way; 2],
    namespace: Namespace,
}

/// One direction.
struct Way {
    settings: Array<MapData, u64>,
    next: Array<MapData, u64>,
    counts: PerCpuArray<MapData, u64>,
    /// The program stays on its hook as long as this lives.
    _program: Ebpf,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").finish_non_exhaustive()
    }
}

impl Road {
    /// Puts a road between a pod and its node. The node's end of the pod's link stays as it is.
    pub fn build(lab: &Lab, pod: &Pod) -> Result<Self> {
        let namespace = lab.namespace(&format!("{}-road", pod.name))?;
        // Nothing of its own is to be under way on it.
        for links in ["all", "default"] {
            namespace.sysctl(&format!("net/ipv6/conf/{links}/disable_ipv6"), "1")?;
        }
        let [near, far] = ENDS;
        let (road, inside) = (namespace.name(), pod.namespace.name());
        pod.namespace.ip(&format!(
            "link set eth0 down\n\
             link set eth0 name {far}\n\
             link set {far} netns {road}\n"
        ))?;
        namespace.ip(&format!(
            "link add name {near} type veth peer name eth0 netns {inside}\n"
        ))?;
        for [program, line] in SIDINGS {
            namespace.ip(&format!(
                "link add name {program} type veth peer name {line}\n\
                 link set {program} up\n\
                 link set {line} up\n"
            ))?;
        }
        pod.configure()?;
        for end in ENDS {
            namespace.ip(&format!("link set {end} up\n"))?;
            namespace.wait_for_link(end)?;
        }
        pod.namespace.wait_for_link("eth0")?;
        let siding = |[_, line]: [&str; 2], onward| Siding::open(&namespace, line, onward);
        let line = DelayLine::start([siding(SIDINGS[0], far)?, siding(SIDINGS[1], near)?]);
        let way = |from, onward, [siding, _]: [&str; 2]| {
            Way::open(&namespace, from, onward, siding)
                .with_context(|| format!("the road from {from} to {onward}"))
        };
        let ways = [way(near, far, SIDINGS[0])?, way(far, near, SIDINGS[1])?];
        Ok(Self {
            line,
            ways,
            namespace,
        })
    }

    /// Lets all packets be as long as a link carries, with their checksums made: then losses are
    /// those of single packets.
    pub fn carry_single_packets(&self, node: &Node, pod: &Pod) -> Result<()> {
        pod.namespace.tx_offload_off("eth0")?;
        node.namespace.tx_offload_off(&pod.link)
    }

    /// Changes the weather and begins to count anew. Packets that are under way meanwhile may be
    /// counted as either's.
    pub fn set(&mut self, weather: Weather) -> Result<()> {
        self.wait_until_empty()?;
        let is_slow = !(weather.delay + weather.jitter).is_zero();
        for (number, way) in (0..).zip(&mut self.ways) {
            way.set(weather, number, is_slow)?;
        }
        self.line.set(weather);
        Ok(())
    }

    /// Ends all that is bad about it.
    pub fn clear(&mut self) -> Result<()> {
        self.set(Weather::default())
    }

    /// What has happened on the way to the node, and on the way back.
    pub fn counts(&self) -> Result<[Counts; 2]> {
        let let_go = self.line.let_go()?;
        let [up, down] = &self.ways;
        Ok([up.counts(let_go[0])?, down.counts(let_go[1])?])
    }

    /// The road's own namespace, for observers.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Waits until nothing is held up.
    pub fn wait_until_empty(&self) -> Result<()> {
        wait::until("an empty road", PATIENCE, || {
            let counts = match self.counts() {
                Ok(counts) => counts,
                Err(error) => return Some(Err(error)),
            };
            let is_empty = counts.iter().all(|way| way.held_up == way.let_go);
            is_empty.then_some(Ok(()))
        })?
    }
}

impl Way {
    /// Puts the program on an end of the road.
    fn open(namespace: &Namespace, from: &str, onward: &str, siding: &str) -> Result<Self> {
        let onward = namespace.run(|| link::index(onward))??;
        let siding = namespace.run(|| link::index(siding))??;
        let mut ebpf = EbpfLoader::new()
            .override_global("ONWARD", &onward, true)
            .override_global("SIDING", &siding, true)
            .load(OBJECT)
            .context("loading the object; this needs root")?;
        let settings = map(&mut ebpf, "SETTINGS")?.try_into()?;
        let next = map(&mut ebpf, "NEXT")?.try_into()?;
        let counts = map(&mut ebpf, "COUNTS")?.try_into()?;
        let program = ebpf.program_mut("road").context("no such program")?;
        let program: &mut SchedClassifier = program.try_into()?;
        program.load()?;
        namespace.run(|| hook::attach(program, from, TcAttachType::Ingress))??;
        Ok(Self {
            settings,
            next,
            counts,
            _program: ebpf,
        })
    }

    fn set(&mut self, weather: Weather, number: u64, is_slow: bool) -> Result<()> {
        let Weather { shares, seed, .. } = weather;
        for (place, value) in [
            (setting::LOST, shares.lost),
            (setting::DOUBLED, shares.doubled),
            (setting::OVERTAKING, shares.overtaking),
            (setting::HELD_UP, u64::from(is_slow)),
            // Other packets are lost on the way back.
            (setting::SEED, seed.wrapping_mul(2).wrapping_add(number)),
        ] {
            self.settings.set(place, &value, 0)?;
        }
        self.next.set(0, &0, 0)?;
        for place in 0..count::PLACES {
            let processors = self.counts.get(&place, 0)?.len();
            self.counts
                .set(place, PerCpuValues::try_from(vec![0; processors])?, 0)?;
        }
        Ok(())
    }

    fn counts(&self, let_go: u64) -> Result<Counts> {
        let count = |place| anyhow::Ok(self.counts.get(&place, 0)?.iter().sum::<u64>());
        Ok(Counts {
            met: count(count::MET)?,
            lost: count(count::LOST)?,
            doubled: count(count::DOUBLED)?,
            overtook: count(count::OVERTOOK)?,
            held_up: count(count::HELD_UP)?,
            let_go,
        })
    }
}

fn map(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name)
        .with_context(|| format!("no map {name}"))
}
