// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clients from outside the cluster: each kind of address, each policy, near and far backends; and
//! whom the backend sees.

mod associations;
mod crowd;
mod early;
mod generic;
mod large;
mod matrix;
mod node_port_addresses;
mod second_node;
mod source_ranges;

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::Context as _;
use tests::{
    link::PacketSocket,
    netns::{Namespace, Node, Pod, RpFilter},
    packet::udp,
    traffic::{Answer, Connection, Protocol},
    wait,
};

use crate::{
    region::{Ends, FAR_NAME, NODE, Region, VISITOR},
    scene::{POD_PORT, PORT},
};

/// By what a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exposure {
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalIp,
}

/// Whom the backend sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sees {
    /// The client itself.
    Client,
    /// Our node.
    Node,
    /// Nobody: the packet is dropped.
    Nothing,
}

use Exposure::{ClusterIp, ExternalIp, LoadBalancer, NodePort};
use Sees::{Client, Nothing};

/// A Service: what it is called, its number, whether its backend is near, whether policy is
/// `Local`; and whom that backend sees by a Cluster-IP, by the other addresses, and by those with
/// direct server return.
type Row = (&'static str, u16, bool, bool, Sees, Sees, Sees);

/// A backend on this node answers by way of us, so it sees the client, whatever the policy.
const ROWS: [Row; 4] = [
    ("near", 1, true, false, Client, Client, Client),
    ("near-local", 2, true, true, Client, Client, Client),
    ("far", 3, false, false, Sees::Node, Sees::Node, Client),
    ("far-local", 4, false, true, Sees::Node, Nothing, Nothing),
];

const EXPOSURES: [Exposure; 4] = [ClusterIp, NodePort, LoadBalancer, ExternalIp];

fn port(exposure: Exposure, number: u16) -> u16 {
    match exposure {
        NodePort => 30_000 + number,
        ClusterIp | LoadBalancer | ExternalIp => PORT,
    }
}

/// The addresses of the Service with a number.
fn addresses(exposure: Exposure, number: u16) -> Ends {
    let [high, low] = number.to_be_bytes();
    let of = |v4: [u8; 3], v6: [u16; 4], kind: u8| {
        let (mut narrow, mut wide) = ([kind + high + low; 4], [0; 8]);
        narrow[..3].copy_from_slice(&v4);
        wide[..4].copy_from_slice(&v6);
        wide[6..].copy_from_slice(&[u16::from(kind), number]);
        [
            IpAddr::from(Ipv4Addr::from(narrow)),
            IpAddr::from(Ipv6Addr::from(wide)),
        ]
    };
    match exposure {
        NodePort => NODE,
        ClusterIp => of([10, 96, 0], [0xfd00, 0x10, 0x96, 0], 0),
        LoadBalancer => of([198, 18, 0], [0x2001, 0xdb8, 0x18, 0], 100),
        ExternalIp => of([198, 18, 0], [0x2001, 0xdb8, 0x18, 0], 200),
    }
}

/// The manifest of a row's Service.
fn service(row: &Row) -> String {
    let selector = if row.2 { "app: near" } else { "app: far" };
    manifest(row.0, row.1, row.3, selector)
}

fn manifest(name: &str, number: u16, is_local: bool, selector: &str) -> String {
    let [cluster, balanced, external] = [ClusterIp, LoadBalancer, ExternalIp]
        .map(|exposure| addresses(exposure, number).map(|address| address.to_string()));
    let policy = if is_local { "Local" } else { "Cluster" };
    let node_port = port(NodePort, number);
    let ports = format!("port: {PORT}, nodePort: {node_port}, targetPort: {POD_PORT}");
    let [v4, v6] = balanced;
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  \
         type: LoadBalancer\n  clusterIPs: {cluster:?}\n  clusterIP: '{}'\n  \
         ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: RequireDualStack\n  \
         externalIPs: {external:?}\n  externalTrafficPolicy: {policy}\n  \
         selector: {{{selector}}}\n  ports:\n  - {{name: tcp, {ports}}}\n  \
         - {{name: udp, protocol: UDP, {ports}}}\n  \
         - {{name: sctp, protocol: SCTP, {ports}}}\n\
         status: {{loadBalancer: {{ingress: [{{ip: '{v4}'}}, {{ip: '{v6}'}}]}}}}\n",
        cluster[0]
    )
}

fn pod(pod: &Pod, node: &str) -> String {
    let Pod { name, v4, v6, .. } = pod;
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\n\
         spec: {{nodeName: {node}, containers: [{{name: server, image: none}}]}}\nstatus:\n  \
         phase: Running\n  podIP: '{v4}'\n  podIPs: [{{ip: '{v4}'}}, {{ip: '{v6}'}}]\n  \
         conditions: [{{type: Ready, status: 'True'}}]\n"
    )
}

/// The region with all Services, programmed.
fn region(flags: &[&str]) -> anyhow::Result<Region> {
    serve(Region::set(RpFilter::Off)?, flags)
}

/// The same of a region that is there.
fn serve(mut region: Region, flags: &[&str]) -> anyhow::Result<Region> {
    let scene = &region.scene;
    for row in &ROWS {
        scene.write(row.0, &service(row))?;
    }
    scene.write("near-pod", &pod(&region.near, Node::NAME))?;
    scene.write("far-pod", &pod(&region.far, FAR_NAME))?;
    let flags = [&["--external-ips"][..], flags].concat();
    region.scene.start_agent(&flags)?;
    Ok(region)
}

/// Dials from somewhere, and says two things.
fn talk(
    at: &Namespace,
    [v4, v6]: Ends,
    protocol: Protocol,
    target: SocketAddr,
) -> anyhow::Result<Answer> {
    let from = SocketAddr::new(if target.is_ipv4() { v4 } else { v6 }, 0);
    at.block_on(|| async move {
        let mut connection = Connection::open(protocol, from, target, 1).await?;
        connection.exchange().await?;
        connection.exchange().await
    })?
}

/// Each cell of these rows, as somebody dials it.
fn try_all(
    at: &Namespace,
    from: Ends,
    rows: &[Row],
    sees: impl Fn(&Row, Exposure) -> Sees,
) -> anyhow::Result<()> {
    for row in rows {
        let &(name, number, is_near, ..) = row;
        for exposure in EXPOSURES {
            let sees = sees(row, exposure);
            for (family, address) in addresses(exposure, number).into_iter().enumerate() {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    let target = SocketAddr::new(address, port(exposure, number));
                    let cell = format!("{name} {exposure:?} {target} {protocol:?}");
                    let answer = talk(at, from, protocol, target);
                    let caller = match sees {
                        Nothing => {
                            assert!(answer.is_err(), "{cell}: {answer:?}");
                            continue;
                        }
                        Client => from[family],
                        Sees::Node => NODE[family],
                    };
                    let answer = answer.with_context(|| cell.clone())?;
                    assert_eq!(answer.client.ip(), caller, "{cell}");
                    let pod = if is_near { "near" } else { "far" };
                    assert_eq!(answer.pod, pod, "{cell}");
                }
            }
        }
    }
    Ok(())
}

/// For them, the policy for clients from outside is none, and nobody needs to see the node.
#[test]
fn pods_dial_what_is_for_clients_from_outside() -> anyhow::Result<()> {
    let region = region(&[])?;
    let client = &region.scene.client;
    let from = [client.v4.into(), client.v6.into()];
    try_all(&client.namespace, from, &ROWS, |_, _| Client)
}

/// SSH's, and such.
#[test]
fn what_is_no_services_on_the_nodes_addresses_is_the_nodes() -> anyhow::Result<()> {
    let region = region(&[])?;
    let node = &region.scene.node.namespace;
    for address in NODE {
        let listens = SocketAddr::new(address, 22);
        let listener = node.run(|| TcpListener::bind(listens))??;
        let dial = |port| {
            let target = SocketAddr::new(address, port);
            let dialled = || TcpStream::connect_timeout(&target, Duration::from_secs(2));
            region.visitor.run(dialled)
        };
        dial(22)?.with_context(|| format!("dialling {listens}"))?;
        // The host's own refusal, and of a Service's port by another number.
        for port in [23, PORT] {
            let refused = dial(port)?.map_err(|error| error.kind());
            assert_eq!(
                refused.err(),
                Some(ErrorKind::ConnectionRefused),
                "{address}"
            );
        }
        drop(listener);
    }
    for reason in ["port_refused", "unknown_port", "flow_reset", "unallocated"] {
        assert_eq!(region.scene.counted("ingress", reason)?, 0, "{reason}");
    }
    // An address that is nobody's but a Service's.
    for address in addresses(LoadBalancer, 1) {
        let target = SocketAddr::new(address, 23);
        let dialled = || TcpStream::connect_timeout(&target, Duration::from_secs(2));
        let refused = region.visitor.run(dialled)?.map_err(|error| error.kind());
        assert_eq!(
            refused.err(),
            Some(ErrorKind::ConnectionRefused),
            "{address}"
        );
    }
    assert_eq!(region.scene.counted("ingress", "port_refused")?, 2);
    Ok(())
}

/// By which the router sends frames to our node, as nobody's stack would.
fn forger(region: &Region) -> anyhow::Result<PacketSocket> {
    let node = &region.scene.node;
    // The station that the harness's frames go to.
    let station = "link set eth0 address 02:00:00:00:00:02\n";
    node.namespace.ip(station)?;
    let router = &node.outside.namespace;
    router.run(|| PacketSocket::open("eth0"))?
}

#[test]
fn nobody_outside_passes_for_a_service_or_for_the_node() -> anyhow::Result<()> {
    let by_tc = region(&[])?;
    believes_no_lie(&by_tc, "ingress").context("by TC")?;
    drop(by_tc);
    let (by_xdp, _takes) = early::fast_region()?;
    believes_no_lie(&by_xdp, "xdp").context("by XDP")
}

fn believes_no_lie(region: &Region, hook: &str) -> anyhow::Result<()> {
    let socket = forger(region)?;
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let forged = [
        addresses(ClusterIp, 3),
        addresses(LoadBalancer, 3),
        addresses(ExternalIp, 3),
        NODE,
        loopback,
    ];
    let near = [region.near.v4.into(), region.near.v6.into()];
    let targets = [
        (near, POD_PORT),
        (NODE, port(NodePort, 1)),
        (addresses(LoadBalancer, 1), PORT),
        (addresses(ClusterIp, 1), PORT),
    ];
    let mut id = 0_u64;
    let mut send = |from: Ends, (to, port): (Ends, u16), family: usize| {
        id += 1;
        let (from, to) = (from[family], to[family]);
        let message = format!("{id} 1");
        let frame = udp(SocketAddr::new(from, 5_000), SocketAddr::new(to, port));
        socket.send(&frame.payload(message.as_bytes()).bytes())?;
        anyhow::Ok(id)
    };
    let mut lies: Vec<(Ends, (Ends, u16))> = Vec::new();
    for from in forged {
        lies.extend(targets.map(|target| (from, target)));
    }
    let spoofed_ones = 2 * lies.len();
    // A port of the node at an address that only the node itself can dial, whoever asks.
    let local = (loopback, port(NodePort, 1));
    let everybody = forged.into_iter().chain([VISITOR]);
    lies.extend(everybody.map(|from| (from, local)));
    let mut told = Vec::new();
    for (from, target) in lies {
        for family in [0, 1] {
            told.push((send(from, target, family)?, from[family], target));
        }
    }
    // What is honest comes after them.
    let mut honest = Vec::new();
    for target in targets {
        for family in [0, 1] {
            honest.push(send(VISITOR, target, family)?);
        }
    }
    let [server, _] = &region.servers;
    let all = honest.iter().copied().collect::<BTreeSet<u64>>();
    wait::until("honest datagrams", Duration::from_secs(20), || {
        let seen: BTreeSet<u64> = server.log().into_keys().collect();
        all.is_subset(&seen).then_some(())
    })?;
    let seen = server.log();
    told.retain(|(id, ..)| seen.contains_key(id));
    assert!(told.is_empty(), "{told:?}");
    // Those from loopback to a pod are the host's to drop.
    let [at_tc, at_xdp] = ["ingress", "xdp"].map(|hook| region.scene.counted(hook, "spoofed"));
    let (at_tc, at_xdp) = (at_tc?, at_xdp?);
    let spoofed = at_tc + at_xdp;
    assert!(spoofed >= u64::try_from(spoofed_ones)? - 8, "{spoofed}");
    // XDP drops those itself that dial a Service, and leaves those to TC that dial a pod.
    let met = region.scene.counted("xdp", "continued")?;
    let is_met = [hook == "xdp"; 2];
    assert_eq!([at_xdp > 8, met > 8], is_met, "{at_xdp}, {met}");
    Ok(())
}
