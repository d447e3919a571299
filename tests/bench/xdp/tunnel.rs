// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program on clients' packets that go into tunnels: what Katran does, measured as it was. A
//! program before it makes each run's frame what it was, but of the next flow, and hands it on.

use std::net::IpAddr;

use anyhow::ensure;
use lb_common::{tunnel::Format, verdict::Reason, wire::protocol::TCP};
use lb_userspace::datapath::OBJECT;
use tests::{
    early::{Does, Early},
    kernel::{Hook, Kernel, Sizes},
    link,
    netns::{Lab, Namespace},
    packet::tcp,
    rewinder::Rewinder,
    tables::Memory,
};

use super::{KATRANS_FLOOR, chain::LINKS};
use crate::{
    Bench, Scale,
    estimate::{Budget, Estimate},
    packet::ring::Ip,
    report::{Cell, Report, Section, Table, Target},
};

/// Backends of each Service, as Katran had.
const BACKENDS: u32 = 100;
/// Flows whose packets take turns where all of them are new: far more than the table holds then.
const NEW: u32 = 65_536;
const TABLE: u32 = 16_384;

/// A row: its target's id, family, flows (none: all are new), Services, the format; and what Katran
/// takes beyond its floor, in nanoseconds.
type Row = (&'static str, Ip, Option<u32>, u32, Format, f64);

const ROWS: [Row; 8] = [
    ("T4-known-1", Ip::V4, Some(1), 1, Format::Ipip, 110.0),
    ("T4-known-1000", Ip::V4, Some(1_024), 1, Format::Ipip, 119.0),
    (
        "T4-known-65536",
        Ip::V4,
        Some(65_536),
        1,
        Format::Ipip,
        392.0,
    ),
    ("T4-new", Ip::V4, None, 1, Format::Ipip, 775.0),
    ("T4-new-1000", Ip::V4, None, 1_024, Format::Ipip, 1_261.0),
    (
        "T4-known-1000-v6",
        Ip::V6,
        Some(1_024),
        1,
        Format::Ipip,
        116.0,
    ),
    ("T4-new-v6", Ip::V6, None, 1, Format::Ipip, 771.0),
    ("", Ip::V4, Some(1_024), 1, Format::Geneve, 0.0),
];

const TEXT: &str = "Into tunnels (direct server return): the same, measured with a program before \
     ours that makes each run's frame what it was, but of the next flow, and hands it on. What \
     that takes with an empty program behind it is taken off. New flows find a full table, so \
     each takes another one's place. Limits are what Katran took, measured likewise, scaled by \
     what an empty program takes here.";

/// The programs, with Services whose backends are behind an uplink.
struct Tunnels {
    kernel: Kernel,
    rewinder: Rewinder,
    node: Namespace,
    flows: Option<u32>,
    _beyond: Namespace,
}

impl Tunnels {
    fn new(lab: &Lab, &(_, ip, flows, services, format, _): &Row) -> anyhow::Result<Self> {
        let (node, beyond) = (lab.namespace("tunnels")?, lab.namespace("beyond")?);
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
            half_open: if flows.is_some() { 1 << 17 } else { TABLE },
            frontends: 2 * services + 8,
            backends: BACKENDS + 1,
            ..Sizes::default()
        };
        let mut kernel = Kernel::load_in_real_time(OBJECT, sizes)?;
        let mut memory = Memory::default();
        for number in 1..=BACKENDS {
            memory.add_backend(number, ip.service(1 << 18 | number), TCP);
        }
        let ids: Vec<u32> = (1..=BACKENDS).collect();
        for number in 0..services {
            let service = counted(ip, number);
            memory.add_tunnelled((service, 80).into(), TCP, &ids, format);
        }
        let addresses = ["192.0.2.10", "2001:db8::10"];
        let addresses = addresses.map(|text| text.parse().expect("an address"));
        memory.add_uplink(uplink, addresses);
        for address in addresses {
            memory.add_node(address);
        }
        memory.node.direct_until_ns = u64::MAX;
        kernel.copy_from(&memory)?;
        let frame = tcp(ip.client(), (counted(ip, 0), 80).into());
        let frame = if flows.is_some() {
            frame.ack().bytes()
        } else {
            frame.syn().bytes()
        };
        let turns = [flows.unwrap_or(NEW), services];
        let rewinder = Rewinder::open(&frame, turns, kernel.programs.uplink()?, uplink)?;
        let mut tunnels = Self {
            kernel,
            rewinder,
            node,
            flows,
            _beyond: beyond,
        };
        // All flows are known, or the table is full, from here on.
        tunnels.ns()?;
        Ok(tunnels)
    }

    /// Nanoseconds of a packet, the program before ours included.
    fn ns(&mut self) -> anyhow::Result<f64> {
        let runs = self.flows.unwrap_or(NEW).max(20_000);
        let before = self.kernel.count(Hook::Uplink, Reason::Tunnelled)?;
        let rewinder = &mut self.rewinder;
        let ns = self.node.run(|| rewinder.mean_ns(runs))??;
        let met = self.kernel.count(Hook::Uplink, Reason::Tunnelled)? - before;
        ensure!(met == u64::from(runs), "{met} of {runs} went into a tunnel");
        Ok(ns)
    }
}

/// The address of a Service whose last two bytes are its number.
fn counted(ip: Ip, number: u32) -> IpAddr {
    match ip.service(0).ip() {
        IpAddr::V4(first) => {
            let [a, b, ..] = first.octets();
            let [.., c, d] = number.to_be_bytes();
            IpAddr::from([a, b, c, d])
        }
        IpAddr::V6(first) => {
            let [.., c, d] = number.to_be_bytes();
            let mut segments = first.segments();
            segments[7] = u16::from_be_bytes([c, d]);
            IpAddr::from(segments)
        }
    }
}

/// Measures all of it; `empty` is what an empty program takes by itself.
pub(super) fn measure(
    bench: &Bench,
    empty: Estimate,
    section: &mut Section,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (seconds, rows) = match bench.scale {
        Scale::Full => (60, &ROWS[..]),
        Scale::Quick => (0, &[][..]),
        Scale::Smoke => (0, &ROWS[..1]),
    };
    let is_wanted = |row: &&Row| bench.wants(&format!("into tunnels, {}", words(row)));
    let rows: Vec<&Row> = rows.iter().filter(is_wanted).collect();
    for (id, ..) in &ROWS {
        let is_here = bench.scale == Scale::Full && rows.iter().any(|row| row.0 == *id);
        if !id.is_empty() && !is_here {
            report.absent(id, "only a full run puts packets into tunnels, if asked to");
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let mut budget = Budget::of_seconds(seconds, u32::try_from(rows.len() + 1)?);
    bench.progress.now("xdp: into tunnels");
    let mut pass = Early::load(Does::Pass)?;
    let frame = tcp(Ip::V4.client(), Ip::V4.stranger()).ack().bytes();
    let mut rewinder = Rewinder::open(&frame, [1, 1], pass.program()?, 0)?;
    let floor = budget
        .take(bench.scale.effort())
        .median(|_| rewinder.mean_ns(20_000))?;
    let mut found = Vec::new();
    for row in rows {
        bench
            .progress
            .now(&format!("xdp: into tunnels, {}", words(row)));
        let mut tunnels = Tunnels::new(&bench.lab, row)?;
        let gross = budget.take(bench.scale.effort()).median(|_| tunnels.ns())?;
        let net = super::less(gross, floor);
        found.push((row, net));
        let &(id, .., katrans) = row;
        if id.is_empty() || bench.scale == Scale::Smoke {
            continue;
        }
        let limit = katrans * empty.value / KATRANS_FLOOR;
        let what = format!("XDP into a tunnel, {}", words(row));
        report.target(Target::at_most(id, what, (limit, "ns"), net));
    }
    section.text.push(TEXT.to_owned());
    section.tables.push(table(&found, floor));
    Ok(())
}

fn words(&(_, ip, flows, services, format, _): &Row) -> String {
    let of = match flows {
        Some(flows) => format!("known, {flows} flows"),
        None => "new flows".to_owned(),
    };
    format!("{of}, {services} Services, {}, {format:?}", ip.name())
}

fn table(rows: &[(&Row, Estimate)], floor: Estimate) -> Table {
    let mut cells = vec![vec![
        Cell::text("the program before, and an empty one; not taken off"),
        Cell::Figure(floor, "ns"),
    ]];
    let found = rows.iter();
    cells.extend(found.map(|(row, ns)| vec![Cell::text(words(row)), Cell::Figure(*ns, "ns")]));
    Table {
        title: "Into tunnels".to_owned(),
        columns: ["a packet", "takes"].map(str::to_owned).to_vec(),
        rows: cells,
    }
}
