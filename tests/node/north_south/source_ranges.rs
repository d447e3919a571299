// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may dial a load balancer's address, with traffic: each list of ranges by family, protocol
//! and kind of address, from outside and from a pod, to a backend here (itself, for that pod) and
//! to one elsewhere. Nobody gets past a list, and it keeps nobody from anything else.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::{Context as _, ensure};
use tests::{
    netns::Namespace,
    traffic::{Connection, Protocol},
    wait,
};

use super::{
    EXPOSURES, Exposure, ROWS, addresses,
    early::{FLAGS, fast_region},
    port, region, service,
};
use crate::region::{Ends, Region, VISITOR};

/// Further lines of a Service's `spec`; and who of each family, IPv4's first, is let in: the
/// visitor, then the pod.
type List = (&'static str, [[bool; 2]; 2]);

const ALL: [[bool; 2]; 2] = [[true; 2]; 2];
const NOBODY: [[bool; 2]; 2] = [[false; 2]; 2];

/// Ranges are added, replaced and removed; none is not the same as none that makes sense.
const LISTS: [List; 8] = [
    ("", ALL),
    ("  loadBalancerSourceRanges: [nonsense]\n", NOBODY),
    ("  loadBalancerSourceRanges: []\n", ALL),
    (
        "  loadBalancerSourceRanges: ['203.0.113.0/24', '2001:db8:113::/64']\n",
        [[true; 2], [false; 2]],
    ),
    (
        "  loadBalancerSourceRanges: ['203.0.113.0/24', nonsense]\n",
        [[true, false], [false; 2]],
    ),
    (
        "  loadBalancerSourceRanges: ['2001:db8:113::/64', '10.244.0.0/16']\n",
        [[false, true], [true, false]],
    ),
    // The visitor's neighbours.
    (
        "  loadBalancerSourceRanges: ['203.0.113.0/30', '2001:db8:113::8/125']\n",
        NOBODY,
    ),
    ("", ALL),
];

/// One dial.
pub(super) struct Cell<'a> {
    pub(super) at: &'a Namespace,
    pub(super) from: SocketAddr,
    pub(super) target: SocketAddr,
    pub(super) protocol: Protocol,
    /// Whether it is let in. Who is not hears nothing at all.
    pub(super) expected: bool,
    pub(super) what: String,
}

impl Cell<'_> {
    /// What is wrong, if anything is.
    fn try_it(&self) -> Option<String> {
        let (from, target, protocol) = (self.from, self.target, self.protocol);
        let dialled = self.at.block_on(|| async move {
            let mut connection = Connection::open(protocol, from, target, 1).await?;
            connection.exchange().await
        });
        let answer = dialled.and_then(|answer| answer);
        let is_right = match &answer {
            Ok(_) => self.expected,
            Err(error) => !self.expected && format!("{error:#}").contains("took more than"),
        };
        (!is_right).then(|| format!("{}: {answer:?}", self.what))
    }
}

/// The whole table. Each dial has a port of its own: who was let in stays.
fn cells<'a>(region: &'a Region, lets_in: [[bool; 2]; 2], next: &mut u16) -> Vec<Cell<'a>> {
    let pod: Ends = [region.near.v4.into(), region.near.v6.into()];
    let mut cells = Vec::new();
    for (at, from, lets_in) in [
        (&region.visitor, VISITOR, lets_in[0]),
        (&region.near.namespace, pod, lets_in[1]),
    ] {
        for ((name, number), exposure, protocol, family) in table() {
            let address = addresses(exposure, number)[family];
            let target = SocketAddr::new(address, port(exposure, number));
            *next += 1;
            cells.push(Cell {
                at,
                from: SocketAddr::new(from[family], *next),
                target,
                protocol,
                expected: exposure != Exposure::LoadBalancer || lets_in[family],
                what: format!("{} to {name} {exposure:?} {protocol:?}", from[family]),
            });
        }
    }
    cells
}

fn table() -> impl Iterator<Item = ((&'static str, u16), Exposure, Protocol, usize)> {
    let services = ROWS.iter().filter(|row| !row.3).map(|row| (row.0, row.1));
    services.flat_map(|service| {
        EXPOSURES.into_iter().flat_map(move |exposure| {
            [Protocol::Tcp, Protocol::Udp]
                .into_iter()
                .flat_map(move |protocol| {
                    [0, 1].map(move |family| (service, exposure, protocol, family))
                })
        })
    })
}

/// What is wrong. What is refused is waited for: all at once.
pub(super) fn wrong(cells: &[Cell<'_>]) -> Vec<String> {
    thread::scope(|scope| {
        let dials: Vec<_> = cells
            .iter()
            .map(|cell| scope.spawn(move || cell.try_it()))
            .collect();
        let ended = dials.into_iter().filter_map(|dial| match dial.join() {
            Ok(wrong) => wrong,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.collect()
    })
}

#[test]
fn nobody_gets_past_source_ranges() -> anyhow::Result<()> {
    keep_out(region(&[])?, &[]).context("by TC")?;
    let (by_xdp, _takes) = fast_region()?;
    keep_out(by_xdp, &FLAGS).context("by XDP")
}

fn keep_out(mut region: Region, flags: &[&str]) -> anyhow::Result<()> {
    let flags = [&["--external-ips"][..], flags].concat();
    let mut next = 20_000;
    for (spec, lets_in) in LISTS {
        for row in &ROWS {
            let manifest = service(row).replacen("spec:\n", &format!("spec:\n{spec}"), 1);
            region.scene.write(row.0, &manifest)?;
        }
        let mut last = Vec::new();
        let programmed = wait::until("the ranges", Duration::from_secs(30), || {
            last = wrong(&cells(&region, lets_in, &mut next));
            last.is_empty().then_some(())
        });
        programmed.with_context(|| format!("{spec:?}: {last:#?}"))?;
        if lets_in == ALL {
            continue;
        }
        // They hold while no agent runs, and from the first moment of the next one.
        region.scene.kill_agent()?;
        let orphaned = wrong(&cells(&region, lets_in, &mut next));
        ensure!(orphaned.is_empty(), "{spec:?}, no agent: {orphaned:#?}");
        region.scene.start_agent(&flags)?;
        let again = wrong(&cells(&region, lets_in, &mut next));
        ensure!(again.is_empty(), "{spec:?}, a new agent: {again:#?}");
    }
    let hook = if flags.contains(&FLAGS[0]) {
        "xdp"
    } else {
        "ingress"
    };
    let kept_out = region.scene.counted(hook, "not_admitted")?;
    ensure!(kept_out > 0, "none kept out at {hook}");
    Ok(())
}
