// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a link carries whole, and not in a tunnel: who sends it is told what fits, and datagrams in
//! fragments get there another way.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::io::Errno;
use tests::{netns::Namespace, wait};

use super::{BALANCED, BY_TC, BY_XDP, FORMATS, hook, two_nodes};
use crate::{
    fleet::Fleet,
    region::VISITOR,
    related::{SMALL_MTU, forget_paths, mtu, send},
    scene::{POD_PORT, PORT},
};

/// That a sender sends.
const BYTES: usize = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(20);
const ONE_TRY: Duration = Duration::from_secs(2);
/// What the formats take of each packet: an IPv4 or an IPv6 header, and Geneve's 16 bytes.
const ROOM: [[u32; 2]; 2] = [[20, 40], [36, 56]];

/// The MTU of a link between the two nodes.
const NARROW: u32 = 1_400;

/// What serves in the second node's pod instead of its server.
fn ends(fleet: &mut Fleet) -> anyhow::Result<[(SocketAddr, SocketAddr); 2]> {
    let pod = &fleet.machines[1].pod;
    let pods: [IpAddr; 2] = [pod.v4.into(), pod.v6.into()];
    fleet.machines[1].server = None;
    let mut ends = [(SocketAddr::new(pods[0], 0), SocketAddr::new(pods[0], 0)); 2];
    for (family, end) in ends.iter_mut().enumerate() {
        let service = SocketAddr::new(BALANCED[family].parse()?, PORT);
        *end = (service, SocketAddr::new(pods[family], POD_PORT));
    }
    Ok(ends)
}

/// A connection through the Service, and its other end.
fn connect(
    visitor: &Namespace,
    service: SocketAddr,
    listener: &TcpListener,
) -> anyhow::Result<[TcpStream; 2]> {
    let dial = || TcpStream::connect_timeout(&service, PATIENCE);
    let client = visitor.run(dial)?.context("connecting")?;
    let (backend, seen) = listener.accept().context("accepting")?;
    ensure!(
        seen.ip() == VISITOR[usize::from(service.is_ipv6())],
        "{seen}"
    );
    for end in [&client, &backend] {
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
    }
    Ok([client, backend])
}

/// That senders get through to the second node, and learn this MTU less what the tunnel takes.
fn senders_learn(fleet: &mut Fleet, room: [u32; 2], of_link: u32) -> anyhow::Result<()> {
    let ends = ends(fleet)?;
    let pod = &fleet.machines[1].pod.namespace;
    for (family, (service, pod_end)) in ends.into_iter().enumerate() {
        forget_paths([&fleet.visitor, pod])?;
        let listener = pod.run(|| TcpListener::bind(pod_end))??;
        let connected = connect(&fleet.visitor, service, &listener);
        let [mut client, mut backend] = connected.with_context(|| service.to_string())?;
        let sent = send(&mut client, &mut backend, BYTES).with_context(|| service.to_string());
        sent.with_context(|| fleet.last_words())?;
        let learnt = mtu(&client, service.ip())?;
        ensure!(learnt == of_link - room[family], "{service}: MTU {learnt}");
    }
    Ok(())
}

/// That much has ended so on the first node, where these flags say.
fn met(fleet: &Fleet, flags: &[&str], reason: &str) -> anyhow::Result<()> {
    let hook = hook(flags);
    let count = fleet.machines[0].counted(hook, reason)?;
    ensure!(count > 20, "{flags:?}: {count} {reason} at {hook}");
    Ok(())
}

#[test]
fn senders_learn_what_fits_into_the_tunnel() -> anyhow::Result<()> {
    for ((forwarding, _), room) in FORMATS.into_iter().zip(ROOM) {
        for flags in [BY_TC, BY_XDP] {
            let (mut fleet, _takes) = two_nodes(forwarding, flags)?;
            let learnt = senders_learn(&mut fleet, room, 1_500);
            learnt.with_context(|| format!("{forwarding} {flags:?}"))?;
            let told = fleet.machines[0].counted(hook(flags), "too_long")?;
            ensure!(told >= 2, "{forwarding} {flags:?}: {told} told");
            met(&fleet, flags, "tunnelled")?;
        }
    }
    Ok(())
}

/// Of a link between the two nodes, whose router tells the first one, which nobody has told before.
#[test]
fn senders_learn_what_fits_beyond_the_first_node() -> anyhow::Result<()> {
    for ((forwarding, _), room) in FORMATS.into_iter().zip(ROOM) {
        for flags in [BY_TC, BY_XDP] {
            let (mut fleet, _takes) = two_nodes(forwarding, flags)?;
            let [v4, v6] = fleet.machines[1].addresses;
            fleet.router.ip(&format!(
                "route replace 10.245.1.0/24 via {v4} mtu lock {NARROW}\n\
                 route replace fd00:10:245:1::/64 via {v6} mtu lock {NARROW}\n"
            ))?;
            let learnt = senders_learn(&mut fleet, room, NARROW);
            learnt.with_context(|| format!("{forwarding} {flags:?}"))?;
            let heeded = fleet.machines[0].counted("ingress", "narrowed")?;
            ensure!(heeded >= 2, "{forwarding} {flags:?}: {heeded}");
            met(&fleet, flags, "tunnelled")?;
        }
    }
    Ok(())
}

/// An error about what a backend has sent to the client comes to the node by which the client's
/// packets come, and is to get to the backend.
#[test]
fn backends_learn_the_mtu_of_the_way_to_the_client() -> anyhow::Result<()> {
    for (forwarding, _) in FORMATS {
        let (mut fleet, _) = two_nodes(forwarding, BY_TC)?;
        let ends = ends(&mut fleet)?;
        let [v4, v6] = VISITOR;
        fleet.router.ip(&format!(
            "route add {v4}/32 dev out0 mtu lock {SMALL_MTU}\n\
             route add {v6}/128 dev out0 mtu lock {SMALL_MTU}\n"
        ))?;
        let pod = &fleet.machines[1].pod.namespace;
        for (service, pod_end) in ends {
            forget_paths([&fleet.visitor, pod])?;
            let listener = pod.run(|| TcpListener::bind(pod_end))??;
            let [mut client, mut backend] = connect(&fleet.visitor, service, &listener)?;
            let sent = send(&mut backend, &mut client, BYTES);
            let sent = sent.with_context(|| format!("{forwarding} {service}"));
            sent.with_context(|| fleet.last_words())?;
            let learnt = mtu(&backend, service.ip())?;
            ensure!(learnt == SMALL_MTU, "{forwarding} {service}: MTU {learnt}");
        }
    }
    Ok(())
}

#[test]
fn datagrams_in_fragments_get_there() -> anyhow::Result<()> {
    for flags in [BY_TC, BY_XDP] {
        let (mut fleet, _takes) = two_nodes("dsr-ipip", flags)?;
        pass_in_fragments(&mut fleet)?;
        // XDP leaves fragments to TC.
        let first = &fleet.machines[0];
        let sent = first.counted(hook(flags), "tunnelled")?;
        let left = first.counted("xdp", "continued")?;
        ensure!(sent >= 2, "{flags:?}: {sent} in tunnels");
        ensure!(
            (left > 50) == (flags == BY_XDP),
            "{flags:?}: {left} left to TC"
        );
    }
    Ok(())
}

fn pass_in_fragments(fleet: &mut Fleet) -> anyhow::Result<()> {
    let ends = ends(fleet)?;
    for (service, pod_end) in ends {
        let pod = &fleet.machines[1].pod.namespace;
        // A child that another test is starting may still hold what was there (see `Server`).
        let bind = || pod.run(|| UdpSocket::bind(pod_end)).ok()?.ok();
        let backend = wait::until("the pod's port", PATIENCE, bind)?;
        let from = SocketAddr::new(VISITOR[usize::from(service.is_ipv6())], 0);
        let socket = fleet.visitor.run(|| UdpSocket::bind(from))??;
        backend.set_read_timeout(Some(PATIENCE))?;
        socket.set_read_timeout(Some(ONE_TRY))?;
        socket.connect(service)?;
        thread::scope(|scope| {
            scope.spawn(|| echo(&backend));
            // The first ones are as long as links take, and so too long for the tunnel.
            let lengths = [100, 1_450, 1_600, 4_000, 16_000];
            let passed = lengths
                .iter()
                .try_for_each(|length| passes(&socket, *length));
            // It ends by a datagram without bytes.
            socket.send(&[])?;
            let passed = passed.with_context(|| format!("to {service}"));
            passed.with_context(|| fleet.last_words())
        })?;
    }
    Ok(())
}

/// Sends back what comes, until nothing is in it.
fn echo(socket: &UdpSocket) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length @ 1.., seen)) = socket.recv_from(&mut buffer) {
        let _sent = socket.send_to(&buffer[..length], seen);
    }
}

/// That a datagram of so many bytes comes back. Who has yet to learn what fits is told, and sends
/// again.
fn passes(socket: &UdpSocket, length: usize) -> anyhow::Result<()> {
    let sent: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
    let mut buffer = vec![0; 1 << 16];
    for _try in 0..10 {
        match socket.send(&sent).and_then(|_| socket.recv(&mut buffer)) {
            Ok(answered) if buffer[..answered] == sent => return Ok(()),
            // An earlier one, that has come late.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // It has been told, by an error that it is shown once.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::MSGSIZE) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("{length} bytes do not come back")
}
