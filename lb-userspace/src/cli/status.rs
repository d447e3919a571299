// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche status`: what the agent last said, and what the kernel counts.

use super::{
    PinDir, StateDir,
    output::{self, Format, Output},
    service,
};
use clap::Args;
use lb_userspace::{
    clock,
    config::SeedKind,
    datapath::{
        attach::Backend,
        early::Early,
        edges::{EdgeState, Role},
        pin::Pins,
    },
    delivery::{self, Mode},
    dns::{
        server::{SocketState, State},
        shadow::Tally,
    },
    maps::kernel::KernelReasons,
    model::Forwarding,
    observe::{
        Status, Sync,
        metrics::{PacketCount, packets},
    },
    takeover::Progress,
};
use serde::Serialize;
use std::net::IpAddr;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pins: PinDir,
    #[command(flatten)]
    state: StateDir,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Report {
    /// Whether the agent that wrote `status` lives.
    alive: bool,
    status: Status,
    /// Clients that this version does not serve, whatever their Services.
    not_served: &'static [&'static str],
    /// How often packets ended for which reason; absent where the maps cannot be read.
    packets: Option<Vec<PacketCount>>,
}

/// Their packets pass no edge.
const NOT_SERVED: [&str; 1] = ["processes of the node itself, pods on the host's network included"];

pub(super) fn execute(args: &StatusArgs) -> anyhow::Result<()> {
    let status = Status::read(&args.state.state_dir)?;
    let report = Report {
        alive: status.alive(),
        not_served: &NOT_SERVED,
        packets: counts(&args.pins),
        status,
    };
    match args.output.format {
        Format::Json => output::json(&report),
        Format::Table => output::text(&describe(&report, clock::unix_s())),
    }
}

fn counts(pins: &PinDir) -> Option<Vec<PacketCount>> {
    let maps = Pins::new(&pins.pin_dir).current().maps();
    let mut counts = packets(&KernelReasons::open(&maps).ok()?).ok()?;
    counts.retain(|count| count.packets > 0);
    Some(counts)
}

const NO_EDGE: &str = "NONE: no interface is one that --edge or --uplink means";

fn describe(report: &Report, now_s: u64) -> String {
    let Report {
        status, packets, ..
    } = report;
    let mut text = Text::default();
    text.line("agent", &life(report, now_s));
    text.line("version", &status.version);
    text.line("node", &status.node_name);
    text.line("mode", &format!("{}, {}", status.mode, status.watch.source));
    text.line("pins", &status.pin_dir.display().to_string());
    text.line("seed", seed(status.seed));
    text.line("services", &services(&status.sync, now_s));
    if let Some(progress) = takeover(&status.takeover) {
        text.line("take-over", &progress);
    }
    text.line("direct", &direct(&status.direct));
    text.line("forward", &forward(status.forwarding));
    text.line("names", &names(status.dns.as_ref()));
    if let Some(tally) = &status.shadow {
        text.line("shadow", &shadow(tally));
        let last = tally.last.iter().map(ToString::to_string);
        text.list("the last answer that the kernel's would not be like", last);
    }
    let obstacles = status.direct.obstacles.iter().map(ToString::to_string);
    text.list("in the way of direct delivery", obstacles);
    text.list("edges", edges(status));
    let not_served = report.not_served.iter().map(ToString::to_string);
    text.list("clients that this version does not serve", not_served);
    text.list("foreign programs", status.edges.iter().flat_map(foreign));
    let pending = status.watch.pending.iter();
    text.list(
        "pods that serve nothing yet",
        pending.map(|pod| format!("{} of {}: {}", pod.pod, pod.service, pod.reason)),
    );
    let problems = status.watch.problems.iter().map(|noted| noted.line(now_s));
    let of_objects = status.sync.problems.iter();
    let of_objects = of_objects.map(|problem| problem.line(now_s));
    let unlisted = status
        .sync
        .problem_count
        .saturating_sub(status.sync.problems.len());
    let more = (unlisted > 0).then(|| format!("and {unlisted} more"));
    text.list("problems", problems.chain(of_objects).chain(more));
    let exposed = status.sync.exposed.iter();
    text.list(
        "reached by other addresses than Cluster-IPs",
        exposed.map(service::exposed),
    );
    let probes = status.sync.probes.iter();
    text.list(
        "endpoints that are ready here, for load balancers",
        probes.map(|probe| {
            format!(
                "{} port {}: {}",
                probe.service, probe.port, probe.local_ready
            )
        }),
    );
    text.list("failures", status.sync.failures.iter().cloned());
    let pressed = status.pressed.iter().map(|map| map.line(now_s));
    text.list("maps that are nearly full", pressed);
    let packets = packets.iter().flatten();
    text.list(
        "packets by hook and reason",
        packets.map(|count| format!("{} {} {}", count.hook, count.reason, count.packets)),
    );
    text.0
}

/// Whether an agent runs, and what is left of it if not.
fn life(report: &Report, now_s: u64) -> String {
    let Status { pid, started_s, .. } = &report.status;
    if report.alive {
        let since = now_s.saturating_sub(*started_s);
        format!("running as pid {pid} for {since} s")
    } else if report.packets.is_some() {
        format!("NOT running (was pid {pid}); what it pinned goes on serving")
    } else {
        format!("NOT running (was pid {pid}), and nothing is pinned: what follows was so before")
    }
}

fn seed(kind: SeedKind) -> &'static str {
    match kind {
        SeedKind::Secret => "secret",
        SeedKind::Weak => "WEAK: clients may choose their backend; give --seed-file",
    }
}

fn services(sync: &Sync, now_s: u64) -> String {
    let Sync {
        listed,
        services_desired,
        services_programmed,
        last_s,
        ..
    } = sync;
    if !listed {
        return "not all listed yet; the last run's go on serving".to_owned();
    }
    let ago = now_s.saturating_sub(*last_s);
    format!("{services_programmed} of {services_desired} programmed, last change {ago} s ago")
}

/// Whether packets pass the host's stack by.
fn direct(state: &delivery::State) -> String {
    let asked = match state.mode {
        Mode::Auto => "auto",
        Mode::On => "asked for",
        Mode::Off => "not asked for",
    };
    if state.on {
        format!("on ({asked}): packets go straight to pods and neighbours")
    } else {
        format!("off ({asked}): packets go through the host's stack")
    }
}

/// How clients from outside get to other nodes.
fn forward(forwarding: Forwarding) -> String {
    let sees = match forwarding {
        Forwarding::Snat => "this node",
        Forwarding::Ipip | Forwarding::Geneve => "clients from outside",
    };
    format!("{forwarding}: backends on other nodes see {sees}, unless a Service says otherwise")
}

/// Whether names are answered, and where.
fn names(state: Option<&State>) -> String {
    let Some(State { domain, sockets }) = state else {
        return "not served (--dns-listen)".to_owned();
    };
    let sockets = sockets.iter().map(|socket| {
        let SocketState {
            protocol,
            address,
            problem,
        } = socket;
        match &**problem {
            "" => format!("{protocol} {address}"),
            problem => format!("{protocol} {address} NOT: {problem}"),
        }
    });
    let sockets = sockets.collect::<Vec<_>>().join(", ");
    format!("{} at {sockets}", domain.trim_end_matches('.'))
}

/// How the kernel's answers would be.
fn shadow(tally: &Tally) -> String {
    let Tally {
        same,
        different,
        left,
        unread,
        ..
    } = tally;
    format!(
        "of the answers to Pods, the kernel would give {same} alike and {different} otherwise, and \
         leave {left} to who serves; {unread} could not be read"
    )
}

fn takeover(progress: &Progress) -> Option<String> {
    let Progress {
        observing,
        flows,
        some,
    } = progress;
    if *observing {
        return Some("observing what netfilter serves; nothing of ours begins yet".to_owned());
    }
    let more = if *flows > some.len() { ", ..." } else { "" };
    let some = some.join(", ");
    (*flows > 0).then(|| format!("{flows} connections are still netfilter's: {some}{more}"))
}

fn edges(status: &Status) -> impl Iterator<Item = String> {
    let nobody = status.edges.is_empty().then(|| NO_EDGE.to_owned());
    let edges = status.edges.iter();
    let edges = edges.map(|it| edge(it, &status.sync.node_addresses));
    edges.chain(nobody)
}

fn edge(edge: &EdgeState, node: &[IpAddr]) -> String {
    let role = match edge.role {
        Role::Edge => "edge",
        Role::Uplink => "uplink",
    };
    let state = match edge.backend {
        Some(Backend::Tcx) => "serving by tcx".to_owned(),
        Some(Backend::Clsact) => "serving by clsact".to_owned(),
        None => format!("NOT serving: {}", edge.problem),
    };
    let xdp = match (edge.xdp, &*edge.xdp_problem) {
        (Some(Early::Native), _) => " and XDP".to_owned(),
        (Some(Early::Generic), _) => " and generic XDP".to_owned(),
        (None, "") => String::new(),
        (None, why) => format!(", without XDP: {why}"),
    };
    // Where no Node is known, nor is any other.
    let unknown = edge.addresses.iter();
    let unknown = unknown.filter(|address| !node.is_empty() && !node.contains(address));
    let unknown: Vec<String> = unknown.map(ToString::to_string).collect();
    let strange = if unknown.is_empty() {
        String::new()
    } else {
        let unknown = unknown.join(" and ");
        format!("; no tunnels from {unknown}, which its Node does not have among its addresses")
    };
    format!(
        "{} ({role}, index {}): {state}{xdp}{strange}",
        edge.name, edge.ifindex
    )
}

fn foreign(edge: &EdgeState) -> impl Iterator<Item = String> {
    edge.foreign
        .iter()
        .map(|program| format!("{} {program}", edge.name))
}

/// Lines of `name  value`, and lists under a heading.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn line(&mut self, name: &str, value: &str) {
        self.push(&format!("{name:<9} {value}"));
    }

    fn list(&mut self, heading: &str, items: impl Iterator<Item = String>) {
        let mut items = items.peekable();
        if items.peek().is_some() {
            self.push(&format!("{heading}:"));
        }
        for item in items {
            self.push(&format!("  {item}"));
        }
    }

    fn push(&mut self, line: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(line);
    }
}

#[cfg(test)]
mod tests {
    use super::{Backend, EdgeState, Role, edge};
    use std::net::IpAddr;

    #[test]
    fn an_uplink_of_which_its_node_says_nothing_is_said() {
        let uplink = EdgeState {
            name: "eth0".to_owned(),
            ifindex: 2,
            role: Role::Uplink,
            backend: Some(Backend::Tcx),
            problem: String::new(),
            xdp: None,
            xdp_problem: String::new(),
            addresses: ["192.0.2.10", "2001:db8::10"]
                .map(|text| text.parse().expect("an address"))
                .to_vec(),
            foreign: Vec::new(),
        };
        let [v4, v6] = uplink.addresses[..] else {
            unreachable!()
        };
        let plain = "eth0 (uplink, index 2): serving by tcx";
        let rows: [(&[IpAddr], &str); 3] = [
            (&[], ""),
            (&[v6, v4], ""),
            (
                &[v4],
                "; no tunnels from 2001:db8::10, which its Node does not have among its addresses",
            ),
        ];
        for (node, more) in rows {
            assert_eq!(edge(&uplink, node), format!("{plain}{more}"));
        }
    }
}
