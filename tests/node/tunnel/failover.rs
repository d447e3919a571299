// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thousand connections by way of one node, which the router leads to another one from one moment
//! to the next: that one knows none of them, and makes the same choices.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, ensure};
use tests::{
    netns::{Namespace, RpFilter},
    traffic::{Connection, Protocol},
};

use super::{BALANCED, BY_TC, BY_XDP, FORMATS, NETWORKS, fast_links, hook, service};
use crate::{fleet::Fleet, region::VISITOR, scene::PORT};

const FLOWS: u64 = 1_000;

/// Opens the connections, moves them, and goes on; how many have gone on, and how many were told
/// that they cannot.
fn move_flows(
    at: &Namespace,
    target: SocketAddr,
    moves: impl FnOnce() -> anyhow::Result<()> + Send,
) -> anyhow::Result<(u64, u64)> {
    let from = SocketAddr::new(VISITOR[usize::from(target.is_ipv6())], 0);
    at.block_on(|| async move {
        let mut flows = Vec::new();
        for id in 0..FLOWS {
            let mut flow = Connection::open(Protocol::Tcp, from, target, id).await?;
            flow.exchange().await?;
            flows.push(flow);
        }
        moves()?;
        let (mut went_on, mut told) = (0, 0);
        for flow in &mut flows {
            match flow.exchange().await {
                Ok(_answer) => went_on += 1,
                Err(error) if format!("{error:#}").contains("reset") => told += 1,
                Err(error) => return Err(error.context("neither answered nor told")),
            }
        }
        anyhow::Ok((went_on, told))
    })?
}

#[test]
fn another_node_takes_over() -> anyhow::Result<()> {
    for (forwarding, _) in FORMATS {
        for flags in [BY_TC, BY_XDP] {
            take_over(forwarding, flags).with_context(|| format!("{forwarding} {flags:?}"))?;
        }
    }
    Ok(())
}

fn take_over(forwarding: &str, flags: &[&str]) -> anyhow::Result<()> {
    let mut fleet = Fleet::set(3, RpFilter::Off)?;
    fleet.write("service", &service(forwarding, "app: web"))?;
    fleet.start_agents(flags)?;
    let _takes = fast_links(&fleet, 3, flags)?;
    for address in BALANCED {
        fleet.lead(&NETWORKS, 0)?;
        let address: IpAddr = address.parse()?;
        let target = SocketAddr::new(address, PORT);
        let moved = move_flows(&fleet.visitor, target, || fleet.lead(&NETWORKS, 1));
        let moved = moved.with_context(|| target.to_string());
        let (went_on, told) = moved.with_context(|| fleet.last_words())?;
        ensure!(went_on * 1_000 >= FLOWS * 999, "only {went_on} went on");
        ensure!(went_on + told == FLOWS, "{went_on} and {told}");
        let hook = hook(flags);
        let tunnelled = fleet.machines[1].counted(hook, "tunnelled")?;
        ensure!(tunnelled > 0, "nothing at {hook}");
        println!(
            "{forwarding} {target} {flags:?}: {went_on} of {FLOWS} went on, {told} were reset"
        );
    }
    Ok(())
}

/// The other node has been told of fewer backends: who is with one of those that it knows goes on
/// there if it would choose it, and everybody else is told at once.
#[test]
fn who_cannot_go_on_is_told() -> anyhow::Result<()> {
    let mut fleet = Fleet::set(3, RpFilter::Off)?;
    fleet.write("service", &service("dsr-ipip", "app: web"))?;
    fleet.start_agents(BY_TC)?;
    for address in BALANCED {
        fleet.lead(&NETWORKS, 0)?;
        let target = SocketAddr::new(address.parse()?, PORT);
        // It has not heard of the third one's pod; the nodes that have are not asked.
        let moved = move_flows(&fleet.visitor, target, || {
            fleet.write("service", &service("dsr-ipip", "pod: pod-1"))?;
            fleet.machines[1].wait_for_backends(1)?;
            fleet.lead(&NETWORKS, 1)
        });
        let (went_on, told) = moved.with_context(|| fleet.last_words())?;
        ensure!(went_on + told == FLOWS, "{went_on} and {told}");
        ensure!(went_on > 200 && told > 200, "{went_on} and {told}");
        fleet.write("service", &service("dsr-ipip", "app: web"))?;
        for machine in &fleet.machines {
            machine.wait_for_backends(3)?;
        }
    }
    Ok(())
}
