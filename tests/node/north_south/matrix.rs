// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table as a whole, between two nodes with an agent each: every address of every Service, by
//! each way of forwarding, protocol and family; and the same by each hook and with each setting of
//! `rp_filter`. Who a backend has seen is tcpdump's to say, in the pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    thread,
};

use anyhow::{Context as _, ensure};
use etherparse::{SlicedPacket, TransportSlice};
use lb_common::wire::protocol::SCTP;
use tests::{
    early::{Does, Early},
    link::PacketSocket,
    netns::RpFilter,
    observer::Observer,
    packet::{STATION, opening},
    traffic::{Connection, Protocol},
};

use super::{EXPOSURES, Exposure, ROWS, Row, Sees, addresses, manifest, port};
use crate::{fleet::Fleet, region::VISITOR, scene::POD_PORT};

/// The ways of forwarding, as the annotation says them.
pub(super) const FORWARDINGS: [&str; 3] = ["snat", "dsr-ipip", "dsr-geneve"];

/// Networks of the Services' addresses.
pub(super) const NETWORKS: [&str; 4] = [
    "10.96.0.0/24",
    "fd00:10:96::/64",
    "198.18.0.0/24",
    "2001:db8:18::/64",
];

/// Flags of the agents, and the hook that has to count something.
const WAYS: [(&[&str], &str); 3] = [
    (&["--xdp=off", "--direct-delivery=off"], "ingress"),
    (&["--xdp=off", "--direct-delivery=on"], "ingress"),
    (&["--xdp=native", "--direct-delivery=on"], "xdp"),
];

/// How something is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// By a socket, which is answered.
    Socket(Protocol),
    /// Of SCTP, no kernel here has sockets: a frame, which is seen to arrive.
    Sctp,
}

const BY: [By; 3] = [
    By::Socket(Protocol::Tcp),
    By::Socket(Protocol::Udp),
    By::Sctp,
];

/// A cell of the table.
struct Cell {
    name: String,
    by: By,
    target: SocketAddr,
    pod: &'static str,
    /// Whom its backend is to see; nobody where nothing is to arrive.
    caller: Option<IpAddr>,
}

/// Two nodes with all Services, of which the router leads clients to the first.
///
/// On veth links, XDP takes whole checksums from who sends, and XDP at who receives.
pub(super) fn two_nodes(rp_filter: RpFilter, flags: &[&str]) -> anyhow::Result<(Fleet, Early)> {
    let mut fleet = Fleet::set(2, rp_filter)?;
    for row in &ROWS {
        for way in 0..FORWARDINGS.len() {
            write_service(&fleet, row, way, "")?;
        }
    }
    fleet.lead(&NETWORKS, 0)?;
    fleet.start_agents(&[&["--external-ips"], flags].concat())?;
    fleet.router.tx_offload_off("node0")?;
    let takes = Early::open(Does::Pass, &fleet.router, "node0")?;
    Ok((fleet, takes))
}

/// Writes a row's Service by a way of forwarding, with further lines of its `spec`.
pub(super) fn write_service(
    fleet: &Fleet,
    row: &Row,
    way: usize,
    more: &str,
) -> anyhow::Result<()> {
    let forwarding = FORWARDINGS[way];
    let name = format!("{}-{forwarding}", row.0);
    let selector = if row.2 { "pod: pod-0" } else { "pod: pod-1" };
    let wish = format!(", annotations: {{weiche.dev/forwarding: {forwarding}}}}}\nspec:\n{more}");
    let manifest = manifest(&name, numbered(row.1, way), row.3, selector);
    fleet.write(&name, &manifest.replacen("}\nspec:\n", &wish, 1))
}

/// The number of a row's Service, by a way of forwarding.
pub(super) fn numbered(row: u16, way: usize) -> u16 {
    row + 4 * u16::try_from(way).expect("three ways")
}

fn cells(fleet: &Fleet) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (way, forwarding) in FORWARDINGS.into_iter().enumerate() {
        for (name, number, is_near, _, by_cluster_ip, by_others, by_tunnel) in ROWS {
            for exposure in EXPOSURES {
                let sees = match exposure {
                    Exposure::ClusterIp => by_cluster_ip,
                    _ if way == 0 => by_others,
                    _ => by_tunnel,
                };
                let number = numbered(number, way);
                for family in [0, 1] {
                    let node = fleet.machines[0].addresses[family];
                    let address = match exposure {
                        Exposure::NodePort => node,
                        _ => addresses(exposure, number)[family],
                    };
                    let target = SocketAddr::new(address, port(exposure, number));
                    let caller = match sees {
                        Sees::Client => Some(VISITOR[family]),
                        Sees::Node => Some(node),
                        Sees::Nothing => None,
                    };
                    cells.extend(BY.map(|by| Cell {
                        name: format!("{name} {forwarding} {exposure:?} {target} {by:?}"),
                        by,
                        target,
                        pod: if is_near { "pod-0" } else { "pod-1" },
                        caller,
                    }));
                }
            }
        }
    }
    cells
}

impl Cell {
    /// Dials it as the visitor, with messages that begin with an id; what is wrong.
    fn try_it(&self, fleet: &Fleet, frames: &PacketSocket, id: u64) -> anyhow::Result<()> {
        let from = VISITOR[usize::from(self.target.is_ipv6())];
        let By::Socket(protocol) = self.by else {
            let from = SocketAddr::new(from, 10_000 + u16::try_from(id)?);
            let frame = opening(SCTP, from, self.target);
            return frames.send(&frame.payload(format!("{id} 1").as_bytes()).bytes());
        };
        let answer = fleet.visitor.block_on(|| async move {
            let from = SocketAddr::new(from, 0);
            let mut connection = Connection::open(protocol, from, self.target, id).await?;
            connection.exchange().await?;
            connection.exchange().await
        })?;
        let Some(caller) = self.caller else {
            ensure!(answer.is_err(), "{answer:?}");
            return Ok(());
        };
        let answer = answer?;
        ensure!(answer.client.ip() == caller, "{answer:?}");
        ensure!(answer.pod == self.pod, "{answer:?}");
        Ok(())
    }
}

/// The id that a captured frame's message begins with.
fn id(frame: &[u8]) -> Option<u64> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let payload = match packet.transport {
        Some(TransportSlice::Tcp(tcp)) => tcp.payload(),
        Some(TransportSlice::Udp(udp)) => udp.payload(),
        // Behind the common header (RFC 9260, section 3.1).
        _ => packet.net?.ip_payload_ref()?.payload.get(12..)?,
    };
    let digits = payload.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Dials all cells at once: what is not answered is waited for.
fn try_all(fleet: &Fleet) -> anyhow::Result<()> {
    let cells = cells(fleet);
    let observers = fleet.machines.iter().map(|machine| {
        let filter = format!("dst port {POD_PORT}");
        Observer::start(&fleet.lab, &machine.pod.namespace, "eth0", &filter)
    });
    let observers = observers.collect::<anyhow::Result<Vec<_>>>()?;
    // The station that the harness's frames go to.
    let [s0, s1, s2, s3, s4, s5] = STATION;
    fleet.router.ip(&format!(
        "link set out0 address {s0:02x}:{s1:02x}:{s2:02x}:{s3:02x}:{s4:02x}:{s5:02x}\n"
    ))?;
    let frames = fleet.visitor.run(|| PacketSocket::open("eth0"))??;
    let numbered = || (1_u64..).zip(&cells);
    thread::scope(|scope| {
        let frames = &frames;
        let dials: Vec<_> = numbered()
            .map(|(id, cell)| (cell, scope.spawn(move || cell.try_it(fleet, frames, id))))
            .collect();
        for (cell, dial) in dials {
            let tried = dial.join().expect("no panic");
            tried.with_context(|| cell.name.clone())?;
        }
        anyhow::Ok(())
    })?;
    let mut seen: BTreeMap<u64, BTreeSet<(&str, IpAddr)>> = BTreeMap::new();
    for (observer, machine) in observers.into_iter().zip(&fleet.machines) {
        let capture = observer.stop()?;
        for (frame, packet) in capture.frames.iter().zip(capture.packets()?) {
            if let Some(id) = id(frame) {
                let callers = seen.entry(id).or_default();
                callers.insert((&machine.pod.name, packet.source));
            }
        }
    }
    for (id, cell) in numbered() {
        let seen = seen.remove(&id).unwrap_or_default();
        let expected = cell.caller.map(|caller| (cell.pod, caller));
        ensure!(
            seen == expected.into_iter().collect(),
            "{}: tcpdump has seen {seen:?}",
            cell.name
        );
    }
    Ok(())
}

#[test]
fn backends_see_whom_the_table_says() -> anyhow::Result<()> {
    for rp_filter in [RpFilter::Off, RpFilter::Strict, RpFilter::Loose] {
        for (flags, hook) in WAYS {
            let (fleet, _takes) = two_nodes(rp_filter, flags)?;
            let tried = try_all(&fleet);
            let tried = tried.with_context(|| format!("{flags:?}, rp_filter {rp_filter:?}"));
            tried.with_context(|| fleet.last_words())?;
            let first = &fleet.machines[0];
            // By XDP, what goes from one uplink to another has not come to TC.
            for (hook, reason, is_met) in [
                (hook, "tunnelled", true),
                ("xdp", "relayed", hook == "xdp"),
                ("egress", "masqueraded", hook != "xdp"),
            ] {
                let count = first.counted(hook, reason)?;
                ensure!((count > 20) == is_met, "{hook} {reason} {flags:?}: {count}");
            }
        }
    }
    Ok(())
}
