// SPDX-License-Identifier: MIT OR Apache-2.0
//! On which of the node's addresses node ports are, as `--nodeport-addresses` says it, with
//! traffic: near and far backends, by TC and by XDP. Everywhere else their numbers are the node's:
//! its own sockets are reached, or its stack refuses. What is sent to loopback from outside is
//! nobody's.

use std::{
    collections::BTreeSet,
    io::{Error, ErrorKind::ConnectionRefused},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context as _, ensure};
use lb_common::wire::protocol::{TCP, UDP};
use tests::{
    link::PacketSocket,
    netns::{Node, RpFilter},
    observer::Observer,
    packet::opening,
    traffic::{Connection, Protocol, Server},
    wait,
    weiche::Frontend,
};

use super::{early, forger, pod};
use crate::{
    region::{FAR_NAME, Region, VISITOR},
    scene::{PATIENCE, POD_PORT, PORT},
};

/// Addresses of the node: the uplink's first, another one of the uplink's, one of a pod's link, and
/// one of that link's which the Node object does not have, and which counts where links are asked.
const ADDRESSES: [[&str; 2]; 4] = [
    ["192.0.2.10", "2001:db8::10"],
    ["192.0.2.11", "2001:db8::11"],
    ["198.51.101.10", "2001:db8:101::10"],
    ["198.51.101.99", "2001:db8:101::99"],
];
/// The Node object has these as well, at its end, as one does whose kubelet was told so.
const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

/// These are given to the uplink later on.
const COMES: [&str; 2] = ["192.0.2.77", "2001:db8::4d"];

/// The flag, if it is given; and the families, `4` and `6`, that each of [`ADDRESSES`] serves.
type Row = (Option<&'static str>, [&'static str; 4]);

const ROWS: [Row; 12] = [
    (None, ["46", "", "", ""]),
    (Some("primary"), ["46", "", "", ""]),
    (Some("all"), ["46", "46", "46", "46"]),
    (Some("0.0.0.0/0"), ["4", "4", "4", "4"]),
    (Some("0.0.0.0/0,::/0"), ["46", "46", "46", "46"]),
    (Some("192.0.2.11/32"), ["", "4", "", ""]),
    (Some("192.0.2.0/24,2001:db8::/64"), ["46", "46", "", ""]),
    (Some("198.51.101.0/24,primary"), ["46", "", "4", "4"]),
    (Some("2001:db8:101::/64,192.0.2.10/32"), ["4", "", "6", "6"]),
    (Some("localhost"), ["", "", "", ""]),
    (Some("127.0.0.0/8,::1/128"), ["", "", "", ""]),
    (Some("203.0.113.0/24"), ["", "", "", ""]),
];

/// Node ports: whose backend it is, and whether the node itself listens at that number.
const PORTS: [(u16, &str, bool); 4] = [
    (30_201, "near", false),
    (30_202, "near", true),
    (30_203, "far", false),
    (30_204, "far", true),
];

/// Who answers, where the node's own stack refuses.
const NOBODY: &str = "nobody";

/// The first id of messages that nobody is to get.
const FORGED: u64 = 1_000_000;

#[test]
fn node_ports_are_where_they_may_be_and_nowhere_else() -> anyhow::Result<()> {
    let by_tc = Ports::set(&["--xdp=off"])?;
    by_tc.try_all("ingress", "forwarded").context("by TC")?;
    let by_xdp = Ports::set(&early::FLAGS)?;
    let _takes = early::takes(&by_xdp.region)?;
    by_xdp.try_all("xdp", "relayed").context("by XDP")
}

/// The region with its Services, before any agent.
struct Ports {
    region: Region,
    flags: Vec<&'static str>,
    /// Where the node itself listens.
    own: Server,
    forger: PacketSocket,
    /// Each dial has a port of its own: a flow outlives the address that was dialled.
    next: u16,
}

impl Ports {
    fn set(flags: &[&'static str]) -> anyhow::Result<Self> {
        let region = Region::set(RpFilter::Off)?;
        let (node, router) = (&region.scene.node.namespace, &region.scene.node.outside);
        let [_, [v4, v6], of_link @ ..] = ADDRESSES;
        let link = &region.near.link;
        let of_link = of_link.map(|[v4, v6]| {
            format!("addr add {v4}/32 dev {link}\naddr add {v6}/128 dev {link} nodad\n")
        });
        node.ip(&format!(
            "addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\n{}",
            of_link.concat()
        ))?;
        let (node_v4, node_v6) = (Node::V4, Node::V6);
        router.namespace.ip(&format!(
            "route add 198.51.101.0/24 via {node_v4}\nroute add 2001:db8:101::/64 via {node_v6}\n"
        ))?;
        // Who is refused a second time within a second is to hear of it, too.
        node.sysctl("net/ipv4/icmp_ratelimit", "0")?;
        node.sysctl("net/ipv6/icmp/ratelimit", "0")?;
        write_objects(&region)?;
        let everywhere = ADDRESSES.into_iter().chain([LOOPBACK]).flatten();
        let taken = PORTS.iter().filter(|(.., is_taken)| *is_taken);
        let taken = everywhere.flat_map(|address| {
            let end = |port: &(u16, _, _)| SocketAddr::new(ip(address), port.0);
            taken.clone().map(end)
        });
        Ok(Self {
            own: Server::listen(node, "node", taken.collect())?,
            forger: forger(&region)?,
            flags: flags.to_vec(),
            next: 20_000,
            region,
        })
    }

    /// All rows, one agent after the other, and that what was served met this end.
    fn try_all(mut self, hook: &str, reason: &str) -> anyhow::Result<()> {
        let router = &self.region.scene.node.outside.namespace;
        let from_loopback = "src net 127.0.0.0/8 or src host ::1";
        let answers = Observer::start(&self.region.scene.lab, router, "eth0", from_loopback)?;
        for (number, (given, serves)) in ROWS.iter().enumerate() {
            if number > 0 {
                self.region.scene.kill_agent()?;
            }
            let flag = given.map(|given| format!("--nodeport-addresses={given}"));
            let mut flags = self.flags.clone();
            flags.extend(flag.as_deref());
            self.region.scene.start_agent(&flags)?;
            let tried = self.try_row(serves).with_context(|| format!("{given:?}"));
            tried.with_context(|| self.region.scene.last_words())?;
        }
        let answers = answers.stop()?.packets()?;
        ensure!(answers.is_empty(), "loopback has answered: {answers:?}");
        let served = self.region.scene.counted(hook, reason)?;
        ensure!(served > 0, "nothing was {reason} at {hook}");
        // What is refused, the host itself has refused.
        for hook in ["ingress", "xdp"] {
            for reason in ["refused", "port_refused", "unknown_port", "flow_reset"] {
                let count = self.region.scene.counted(hook, reason)?;
                ensure!(count == 0, "{hook} {reason}: {count}");
            }
        }
        self.follow()
            .with_context(|| self.region.scene.last_words())
    }

    /// Addresses that come while the agent runs, as those do that one node takes over from another.
    fn follow(&mut self) -> anyhow::Result<()> {
        let mut flags = self.flags.clone();
        flags.push("--nodeport-addresses=192.0.2.64/26,2001:db8::4d/128");
        self.region.scene.kill_agent()?;
        self.region.scene.start_agent(&flags)?;
        self.wait_for(&[])?;
        let link = |what: &str| {
            let node = &self.region.scene.node.namespace;
            let [v4, v6] = COMES;
            // So the node does not take them as a source.
            let unused = if what == "add" { "preferred_lft 0" } else { "" };
            node.ip(&format!(
                "addr {what} {v4}/32 dev eth0 {unused}\naddr {what} {v6}/128 dev eth0 {unused}\n"
            ))
        };
        link("add")?;
        self.wait_for(&COMES)?;
        link("del")?;
        self.wait_for(&[])?;
        link("add")?;
        self.wait_for(&COMES)?;
        for address in COMES {
            for (port, backend, _) in PORTS {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    let answers = self.dial(protocol, SocketAddr::new(ip(address), port))?;
                    ensure!(
                        answers == backend,
                        "{protocol:?} {address} {port}: {answers}"
                    );
                }
            }
        }
        Ok(())
    }

    /// Until node ports are at these addresses and at no other.
    fn wait_for(&self, addresses: &[&str]) -> anyhow::Result<()> {
        let wanted: BTreeSet<IpAddr> = addresses.iter().map(|address| ip(address)).collect();
        wait::until(&format!("node ports at {wanted:?}"), PATIENCE, || {
            let frontends = self.region.scene.weiche.frontends().ok()?;
            let ports = frontends.iter().map(Frontend::target);
            let ports = ports.filter(|target| target.port() != PORT);
            (ports.map(|target| target.ip()).collect::<BTreeSet<_>>() == wanted).then_some(())
        })
    }

    /// All cells of a row.
    fn try_row(&mut self, serves: &[&str; 4]) -> anyhow::Result<()> {
        self.lie()?;
        let mut wrong = Vec::new();
        for (addresses, serves) in ADDRESSES.iter().zip(serves) {
            for (address, family) in addresses.iter().zip(["4", "6"]) {
                for (port, backend, is_taken) in PORTS {
                    let expected = match (serves.contains(family), is_taken) {
                        (true, _) => backend,
                        (false, true) => "node",
                        (false, false) => NOBODY,
                    };
                    let target = SocketAddr::new(ip(address), port);
                    for protocol in [Protocol::Tcp, Protocol::Udp] {
                        let answers = self.dial(protocol, target)?;
                        if answers != expected {
                            wrong.push(format!("{protocol:?} {target}: {answers}, not {expected}"));
                        }
                    }
                }
            }
        }
        ensure!(wrong.is_empty(), "{wrong:#?}");
        let [near, far] = &self.region.servers;
        for (name, server) in [("near", near), ("far", far), ("node", &self.own)] {
            let forged = server.log().into_keys().find(|id| *id >= FORGED);
            ensure!(forged.is_none(), "{name} has got what was for loopback");
        }
        Ok(())
    }

    /// Sends the node what is for its loopback, as only a neighbour on its link could.
    fn lie(&mut self) -> anyhow::Result<()> {
        for (family, loopback) in LOOPBACK.iter().enumerate() {
            for (port, ..) in PORTS {
                for protocol in [TCP, UDP] {
                    self.next += 1;
                    let from = SocketAddr::new(VISITOR[family], self.next);
                    let message = format!("{} 1", FORGED + u64::from(self.next));
                    let frame = opening(protocol, from, SocketAddr::new(ip(loopback), port));
                    self.forger
                        .send(&frame.payload(message.as_bytes()).bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Who answers the visitor, or why nobody does.
    fn dial(&mut self, protocol: Protocol, target: SocketAddr) -> anyhow::Result<String> {
        self.next += 1;
        let from = SocketAddr::new(VISITOR[usize::from(target.is_ipv6())], self.next);
        let dialled = self.region.visitor.block_on(|| async move {
            let mut connection = Connection::open(protocol, from, target, 1).await?;
            connection.exchange().await
        })?;
        Ok(match dialled {
            Ok(answer) => answer.pod,
            Err(error) => {
                let kind = error.root_cause().downcast_ref().map(Error::kind);
                if kind == Some(ConnectionRefused) {
                    NOBODY.to_owned()
                } else {
                    format!("{error:#}")
                }
            }
        })
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address of the table")
}

/// The Services, their pods, and the Node with all of its addresses.
fn write_objects(region: &Region) -> anyhow::Result<()> {
    let scene = &region.scene;
    scene.write("near-pod", &pod(&region.near, Node::NAME))?;
    scene.write("far-pod", &pod(&region.far, FAR_NAME))?;
    for (number, (port, backend, _)) in (1..).zip(PORTS) {
        let name = format!("at-{port}");
        scene.write(&name, &service(&name, number, port, backend))?;
    }
    let [primary, secondary, of_link, _unlisted] = ADDRESSES;
    let internal = [primary, secondary]
        .concat()
        .into_iter()
        .map(|address| ("InternalIP", address));
    let external = of_link.into_iter().map(|address| ("ExternalIP", address));
    let strange = LOOPBACK.into_iter().map(|address| ("InternalIP", address));
    let lines = internal.chain(external).chain(strange);
    let lines =
        lines.map(|(kind, address)| format!("  - {{type: {kind}, address: '{address}'}}\n"));
    let name = Node::NAME;
    scene.write(
        "node",
        &format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nstatus:\n  addresses:\n{}",
            lines.collect::<String>()
        ),
    )
}

fn service(name: &str, number: u16, node_port: u16, app: &str) -> String {
    let ports = format!("port: {PORT}, nodePort: {node_port}, targetPort: {POD_PORT}");
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  type: NodePort\n  \
         clusterIPs: [10.96.0.{number}, 'fd00:10:96::{number}']\n  clusterIP: 10.96.0.{number}\n  \
         ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: RequireDualStack\n  \
         selector: {{app: {app}}}\n  ports:\n  \
         - {{name: tcp, {ports}}}\n  - {{name: udp, {ports}, protocol: UDP}}\n"
    )
}
