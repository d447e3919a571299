// SPDX-License-Identifier: MIT OR Apache-2.0
//! Source ranges where two nodes are on the way: whichever a client dials, one whose backend is on
//! the other node or the backend's own, a list lets in whom it names and nobody else. By each way
//! of forwarding, by TC and by XDP, also while no agent runs, and from the first moment of the
//! next.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use tests::{netns::RpFilter, traffic::Protocol, wait};

use super::{
    Exposure::{self, ExternalIp, LoadBalancer, NodePort},
    ROWS, Row, addresses,
    matrix::{FORWARDINGS, NETWORKS, numbered, two_nodes, write_service},
    port,
    source_ranges::{Cell, wrong},
};
use crate::{
    fleet::Fleet,
    region::{Ends, VISITOR},
};

/// The Service's backend is on the second node.
const FAR: Row = ROWS[2];

/// Another client at the visitor's machine.
const NEIGHBOUR: [&str; 2] = ["203.0.113.8", "2001:db8:113::8"];

/// Further lines of the Services' `spec`; whom of each family they let in, IPv4's first: the
/// visitor, then its neighbour.
const LISTS: [(&str, [[bool; 2]; 2]); 4] = [
    (
        "  loadBalancerSourceRanges: ['203.0.113.7/32', '2001:db8:113::7/128']\n",
        [[true; 2], [false; 2]],
    ),
    (
        "  loadBalancerSourceRanges: ['203.0.113.7/32', '2001:db8:113::8/128']\n",
        [[true, false], [false, true]],
    ),
    ("  loadBalancerSourceRanges: [nonsense]\n", [[false; 2]; 2]),
    ("", [[true; 2]; 2]),
];

/// Flags of the agents, and the hook that has to keep somebody out.
const WAYS: [(&[&str], &str); 2] = [
    (&["--xdp=off", "--direct-delivery=off"], "ingress"),
    (&["--xdp=native", "--direct-delivery=on"], "xdp"),
];

#[test]
fn source_ranges_hold_at_every_node() -> anyhow::Result<()> {
    for (flags, hook) in WAYS {
        let (fleet, _takes) = two_nodes(RpFilter::Off, flags)?;
        let [v4, v6] = NEIGHBOUR;
        fleet.visitor.ip(&format!(
            "addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\n"
        ))?;
        let mut clients = Clients {
            fleet,
            next: 10_000,
        };
        let kept = clients
            .keep_out(flags)
            .with_context(|| format!("{flags:?}"));
        kept.with_context(|| clients.fleet.last_words())?;
        for machine in &clients.fleet.machines {
            let kept_out = machine.counted(hook, "not_admitted")?;
            ensure!(kept_out > 0, "{}: nobody kept out at {hook}", machine.name);
        }
    }
    Ok(())
}

struct Clients {
    fleet: Fleet,
    /// Each dial has a port of its own: who was let in stays.
    next: u16,
}

impl Clients {
    fn keep_out(&mut self, flags: &[&str]) -> anyhow::Result<()> {
        let flags = [&["--external-ips"], flags].concat();
        for (spec, lets_in) in LISTS {
            for way in 0..FORWARDINGS.len() {
                write_service(&self.fleet, &FAR, way, spec)?;
            }
            for entrance in [0, 1] {
                self.fleet.lead(&NETWORKS, entrance)?;
                let mut last = Vec::new();
                let programmed = wait::until("the ranges", Duration::from_secs(30), || {
                    last = wrong(&self.cells(entrance, lets_in));
                    last.is_empty().then_some(())
                });
                programmed.with_context(|| format!("{spec:?}: {last:#?}"))?;
            }
            for machine in &mut self.fleet.machines {
                machine.kill_agent()?;
            }
            self.hold(lets_in)
                .with_context(|| format!("{spec:?}, no agent"))?;
            self.fleet.start_agents(&flags)?;
            self.hold(lets_in)
                .with_context(|| format!("{spec:?}, new agents"))?;
        }
        Ok(())
    }

    /// That a list holds at this moment, by way of either node.
    fn hold(&mut self, lets_in: [[bool; 2]; 2]) -> anyhow::Result<()> {
        for entrance in [0, 1] {
            self.fleet.lead(&NETWORKS, entrance)?;
            let wrong = wrong(&self.cells(entrance, lets_in));
            ensure!(wrong.is_empty(), "{wrong:#?}");
        }
        Ok(())
    }

    /// The whole table, by way of one of the nodes. What is no load balancer's has no list.
    fn cells(&mut self, entrance: usize, lets_in: [[bool; 2]; 2]) -> Vec<Cell<'_>> {
        let neighbour = NEIGHBOUR.map(|address| address.parse().expect("an address"));
        let mut cells = Vec::new();
        for (from, lets_in) in [VISITOR, neighbour].into_iter().zip(lets_in) {
            for (way, forwarding) in FORWARDINGS.into_iter().enumerate() {
                for exposure in [NodePort, LoadBalancer, ExternalIp] {
                    let targets = self.dialled(entrance, exposure, numbered(FAR.1, way));
                    for (family, target) in targets.into_iter().enumerate() {
                        for protocol in [Protocol::Tcp, Protocol::Udp] {
                            self.next += 1;
                            cells.push(Cell {
                                at: &self.fleet.visitor,
                                from: SocketAddr::new(from[family], self.next),
                                target,
                                protocol,
                                expected: exposure != LoadBalancer || lets_in[family],
                                what: format!(
                                    "{} by node {entrance}, {forwarding}, to {exposure:?} \
                                     {protocol:?}",
                                    from[family]
                                ),
                            });
                        }
                    }
                }
            }
        }
        cells
    }

    /// What is dialled of a Service, in each family.
    fn dialled(&self, entrance: usize, exposure: Exposure, number: u16) -> [SocketAddr; 2] {
        let of_service: Ends = match exposure {
            NodePort => self.fleet.machines[entrance].addresses,
            _ => addresses(exposure, number),
        };
        of_service.map(|address| SocketAddr::new(address, port(exposure, number)))
    }
}
