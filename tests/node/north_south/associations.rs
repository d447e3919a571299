// SPDX-License-Identifier: MIT OR Apache-2.0
//! Associations of SCTP from outside, by raw sockets, as no kernel here has others: they are set up
//! with near and far backends, and where nobody serves, the client is told so, by each hook.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketType, bind, ipproto, socket},
};
use tests::{
    netns::{Namespace, RpFilter},
    packet::sctp,
};

use super::{
    EXPOSURES, Exposure, ROWS, Row, Sees, addresses,
    early::{FLAGS, fast},
    manifest, port, serve,
};
use crate::{
    region::{Ends, NODE, Region, VISITOR},
    scene::{POD_PORT, PORT},
};

/// How an association is set up (RFC 9260, section 5.1), in pairs of what is asked and answered:
/// INIT and INIT ACK, which bears a cookie, COOKIE ECHO and COOKIE ACK.
const SET_UP: [[&[u8]; 2]; 2] = [
    [
        &[1, 0, 0, 20, 7, 7, 7, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 9],
        &[
            2, 0, 0, 28, 8, 8, 8, 8, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 9, 0, 7, 0, 8, 1, 2, 3, 4,
        ],
    ],
    [&[10, 0, 0, 8, 1, 2, 3, 4], &[11, 0, 0, 4]],
];

/// For what is to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// After this long, nothing will come.
const SILENCE: Duration = Duration::from_millis(300);

/// The number of a Service whose backends are none.
const EMPTY: u16 = 5;

#[test]
fn associations_from_outside_are_set_up_or_refused() -> anyhow::Result<()> {
    let by_tc = serve(region()?, &["--xdp=off"])?;
    try_all(&by_tc, "ingress").context("by TC")?;
    drop(by_tc);
    let (by_xdp, _takes) = fast(region()?)?;
    try_all(&by_xdp, "xdp").with_context(|| format!("by XDP, {FLAGS:?}"))
}

fn region() -> anyhow::Result<Region> {
    let region = Region::set(RpFilter::Off)?;
    let empty = manifest("empty", EMPTY, false, "app: nobody");
    region.scene.write("empty", &empty)?;
    Ok(region)
}

fn try_all(region: &Region, hook: &str) -> anyhow::Result<()> {
    let mut next = 40_000;
    for family in [0, 1] {
        for row in &ROWS {
            for exposure in EXPOSURES {
                next += 1;
                let client = SocketAddr::new(VISITOR[family], next);
                let set_up = set_up(region, row, exposure, client);
                set_up.with_context(|| format!("{} {exposure:?}, {client}", row.0))?;
            }
        }
        refuses(region, family)?;
    }
    let told = region.scene.counted(hook, "refused")?;
    ensure!(told == 2 * 4, "{hook}: {told} refused");
    // What is for no port of a Service's is TC's.
    let told = region.scene.counted("ingress", "port_refused")?;
    ensure!(told == 2, "{told} refused for their port");
    let relayed = region.scene.counted("xdp", "relayed")?;
    ensure!((relayed > 0) == (hook == "xdp"), "{relayed} by XDP");
    Ok(())
}

/// A client's association with a row's Service.
fn set_up(
    region: &Region,
    row: &Row,
    exposure: Exposure,
    client: SocketAddr,
) -> anyhow::Result<()> {
    let &(_, number, is_near, _, by_cluster_ip, by_others, _) = row;
    let family = usize::from(client.is_ipv6());
    let backend = if is_near { &region.near } else { &region.far };
    let pod = [backend.v4.into(), IpAddr::from(backend.v6)][family];
    let pod = SocketAddr::new(pod, POD_PORT);
    let target = SocketAddr::new(addresses(exposure, number)[family], port(exposure, number));
    let asks = raw(&region.visitor, client.ip())?;
    asks.connect((target.ip(), 0))?;
    let answers = raw(&backend.namespace, pod.ip())?;
    let sees = match exposure {
        Exposure::ClusterIp => by_cluster_ip,
        _ => by_others,
    };
    let caller = match sees {
        Sees::Client => client.ip(),
        Sees::Node => NODE[family],
        Sees::Nothing => {
            asks.send(&packet(client, target, SET_UP[0][0]))?;
            return silent(&answers);
        }
    };
    for [question, answer] in SET_UP {
        asks.send(&packet(client, target, question))?;
        let (asked, from) = take(&answers).context("at the backend")?;
        ensure!(from == caller, "asked by {from} instead of {caller}");
        let caller = SocketAddr::new(caller, u16::from_be_bytes([asked[0], asked[1]]));
        ensure!(asked == packet(caller, pod, question), "asked: {asked:?}");
        answers.send_to(&packet(pod, caller, answer), (caller.ip(), 0))?;
        let (answered, _) = take(&asks).context("at the client")?;
        ensure!(
            answered == packet(target, client, answer),
            "answered: {answered:?}"
        );
    }
    Ok(())
}

/// What clients hear where nobody serves: an ICMP error about the port, from the address that they
/// have dialled. On the node's own addresses, what is no node port is the host's to refuse, which
/// does not know the protocol.
fn refuses(region: &Region, family: usize) -> anyhow::Result<()> {
    let from = SocketAddr::new(VISITOR[family], 39_999);
    let of_empty = EXPOSURES.map(|exposure| {
        let address = addresses(exposure, EMPTY)[family];
        let target = SocketAddr::new(address, port(exposure, EMPTY));
        (target, Errno::CONNREFUSED)
    });
    let not_had: Ends = addresses(Exposure::LoadBalancer, 1);
    let of_others = [
        (
            SocketAddr::new(not_had[family], PORT + 1),
            Errno::CONNREFUSED,
        ),
        (
            SocketAddr::new(NODE[family], PORT),
            [Errno::NOPROTOOPT, Errno::PROTO][family],
        ),
    ];
    for (target, expected) in of_empty.into_iter().chain(of_others) {
        let asks = raw(&region.visitor, from.ip())?;
        asks.connect((target.ip(), 0))?;
        asks.send(&packet(from, target, SET_UP[0][0]))?;
        match take(&asks) {
            Err(error) => {
                let told = Errno::from_io_error(&error);
                ensure!(told == Some(expected), "{target}: {error}");
            }
            Ok((answered, _)) => bail!("{target}: {answered:?}"),
        }
    }
    Ok(())
}

/// A socket for all of SCTP that comes to an address.
fn raw(at: &Namespace, address: IpAddr) -> anyhow::Result<UdpSocket> {
    let family = match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let made = at.run(|| {
        let made = socket(family, SocketType::RAW, Some(ipproto::SCTP))?;
        bind(&made, &SocketAddr::new(address, 0))?;
        rustix::io::Result::Ok(made)
    })?;
    let socket = UdpSocket::from(made.context("a raw socket; this needs root")?);
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// What follows the IP header, which the kernel makes.
fn packet(from: SocketAddr, to: SocketAddr, chunk: &[u8]) -> Vec<u8> {
    let headers = if from.is_ipv4() { 14 + 20 } else { 14 + 40 };
    sctp(from, to).payload(chunk).bytes().split_off(headers)
}

/// What has come, from its ports on, and from where.
fn take(socket: &UdpSocket) -> io::Result<(Vec<u8>, IpAddr)> {
    let mut buffer = vec![0; 2_000];
    let (length, from) = socket.recv_from(&mut buffer)?;
    buffer.truncate(length);
    // Raw sockets of IPv4 show the header as well (raw(7)).
    let header = if from.is_ipv4() { 20 } else { 0 };
    Ok((buffer.split_off(header), from.ip()))
}

fn silent(socket: &UdpSocket) -> anyhow::Result<()> {
    socket.set_read_timeout(Some(SILENCE))?;
    match take(socket) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => bail!("{other:?} instead of nothing"),
    }
}
