// SPDX-License-Identifier: MIT OR Apache-2.0
//! The path part: what a connection, a request, a datagram and a stream cost through a Service,
//! beside the same to a pod and beside netfilter's rules, in rounds that take turns.
//!
//! Each contender has a world of namespaces of its own, so none has to be switched on and off.

pub(crate) mod cpu;
mod kube_proxy;
mod load;
mod packets;
mod rows;
mod server;
mod world;

use std::time::Duration;

use anyhow::Context as _;

use crate::{
    Bench, Scale,
    estimate::{Budget, Estimate},
    nft,
    report::{Report, Section},
};
use load::{Tally, Workload};
use rows::Row;
use world::{Contender, Serving, World};

/// What a run measures.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Numbers of Services.
    services: &'static [u32],
    /// The most that netfilter is given.
    nft_most: u32,
    /// How long one contender is measured before the next has its turn.
    turn: Duration,
    /// How long all of it may take in seconds, but for what has to be made for its rows.
    seconds: u64,
}

impl Sizes {
    const fn of(scale: Scale) -> Self {
        match scale {
            Scale::Full => Self {
                services: &[1, 100, 1_000, 10_000, 50_000],
                nft_most: 10_000,
                turn: Duration::from_millis(300),
                seconds: 8 * 60,
            },
            // Those that targets speak of.
            Scale::Quick => Self {
                services: &[1_000],
                nft_most: 1_000,
                turn: Duration::from_millis(200),
                seconds: 22,
            },
            Scale::Smoke => Self {
                services: &[1, 20],
                nft_most: 20,
                turn: Duration::from_millis(10),
                seconds: 0,
            },
        }
    }
}

const TEXT: [&str; 6] = [
    "A client, a node and a backend are network namespaces, joined by veth; each contender has \
     three of its own. Client and server are one thread each, on the last processor, one operation \
     at a time, over epoll: 64 bytes asked, 128 answered.",
    "CPU is what client, server and the kernel's own thread (ksoftirqd) have used on that \
     processor for one operation: all work that veth makes of a packet is done by one of them.",
    "UDP one way: 60-byte frames of 4,096 flows are sent out of the client's link (live frames of \
     BPF_PROG_TEST_RUN), and end at the backend's in a program that drops them. One processor does \
     all of it; what is lost under way is not counted.",
    "A ratio is that of a turn to the turn of `direct` in the same round; rounds go on until the \
     95 % interval of each ratio's median is within 3 %, or time is up. Contenders change places \
     from round to round.",
    "Empty programs: dialling the pod past programs that do nothing, at the four hooks where \
     Weiche's are.",
    "nft: rules of kube-proxy's shape, generated from its public description, so conntrack is on. \
     `direct` has neither rules nor conntrack.",
];

/// Measures all of it.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let sizes = Sizes::of(bench.scale);
    let processor = cpu::last()?;
    let mut contenders = vec![
        Contender::Direct,
        Contender::Empty,
        Contender::Weiche,
        Contender::WeicheDirectly,
    ];
    if nft::is_there() {
        contenders.push(Contender::Netfilter);
    }
    if bench.kube_proxy.is_some() {
        contenders.push(Contender::KubeProxy);
    }
    let worlds = contenders.into_iter();
    let worlds = worlds.map(|contender| World::new(bench, contender, processor));
    let worlds: Vec<_> = worlds.collect::<anyhow::Result<_>>()?;
    let mut all = Vec::new();
    let rows = sizes.services.len() * Workload::ALL.len();
    let mut budget = Budget::of_seconds(sizes.seconds, u32::try_from(rows)?);
    for &services in sizes.services {
        let what = format!("{services} Services");
        let served = budget.beside(|| learn(bench, &worlds, sizes, services));
        let served = served.context(what)?;
        for workload in Workload::ALL {
            all.push(row(
                bench,
                &served,
                sizes,
                (services, workload),
                &mut budget,
            )?);
        }
    }
    let mut section = Section {
        title: "Packet path".to_owned(),
        text: TEXT.map(str::to_owned).to_vec(),
        tables: Vec::new(),
        plots: Vec::new(),
    };
    rows::show(&all, &mut section);
    rows::targets(&all, bench.scale, report);
    report.section(section);
    Ok(())
}

/// Makes so many Services known to all contenders that can learn of as many.
fn learn<'a>(
    bench: &Bench,
    worlds: &'a [World],
    sizes: Sizes,
    services: u32,
) -> anyhow::Result<Vec<(&'a World, Serving)>> {
    let mut served = Vec::new();
    for world in worlds {
        let contender = world.contender;
        let is_netfilter = matches!(contender, Contender::Netfilter | Contender::KubeProxy);
        if is_netfilter && services > sizes.nft_most {
            continue;
        }
        let name = contender.name();
        let what = format!("path: {name} learns of {services} Services");
        bench.progress.now(&what);
        if let Some(serving) = world.serve(bench, services).context(name)? {
            served.push((world, serving));
        }
    }
    Ok(served)
}

/// One workload at one number of Services, round by round.
fn row(
    bench: &Bench,
    served: &[(&World, Serving)],
    sizes: Sizes,
    (services, workload): (u32, Workload),
    budget: &mut Budget,
) -> anyhow::Result<Row> {
    let processor = cpu::last()?;
    let contenders = served.iter().map(|(world, _)| world.contender);
    let mut row = Row::new(services, workload, contenders);
    let effort = budget.take(bench.scale.effort());
    effort.rounds(|number| {
        let name = workload.name();
        bench.progress.now(&format!(
            "path: {name}, {services} Services, round {number}"
        ));
        row.add(turns(served, workload, processor, sizes.turn, number)?)?;
        Ok(row.ratios().all(|ratio| Estimate::median(ratio).is_tight()))
    })?;
    Ok(row)
}

/// Each contender's turn of one round, in an order of the round's own.
fn turns(
    served: &[(&World, Serving)],
    workload: Workload,
    processor: usize,
    time: Duration,
    round: usize,
) -> anyhow::Result<Vec<Tally>> {
    let count = served.len();
    let mut tallies: Vec<_> = (0..count).map(|_| None).collect();
    for turn in 0..count {
        let at = (turn + round) % count;
        let (world, _serving) = &served[at];
        let tally = load::run(world, workload, processor, time);
        let name = world.contender.name();
        tallies[at] = Some(tally.with_context(|| format!("{name}, {}", workload.name()))?);
    }
    Ok(tallies.into_iter().flatten().collect())
}
