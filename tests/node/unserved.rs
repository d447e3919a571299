// SPDX-License-Identifier: MIT OR Apache-2.0
//! What nobody serves, with real sockets: clients are told at once, pings are answered, and nothing
//! for an address that no Service has leaves the node.

use std::{
    io::{ErrorKind, Result as IoResult},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::net::{AddressFamily, SocketType, ipproto, socket};
use tests::{
    netns::Node,
    observer::Observer,
    traffic::{Burst, burst},
    wait,
};

use crate::scene::{PATIENCE, PORT, Scene, V4, V6};

/// Both addresses of the Service.
pub(crate) const SERVICE: [IpAddr; 2] = [IpAddr::V4(V4), IpAddr::V6(V6)];
/// Addresses where Services have theirs from, and which none has.
pub(crate) const UNALLOCATED: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 96, 0, 99)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0x99)),
];
/// Within this a client knows that it is refused.
const AT_ONCE: Duration = Duration::from_millis(10);
/// After this long, nothing will come.
const SILENCE: Duration = Duration::from_millis(300);

#[test]
fn clients_of_a_service_without_endpoints_are_refused_at_once() -> anyhow::Result<()> {
    let scene = Scene::with_agent(0, &[])?;
    let from_service = format!("src host {V4} or src host {V6}");
    let client = &scene.client.namespace;
    let observer = Observer::start(&scene.lab, client, "eth0", &from_service)?;
    for address in SERVICE {
        refused_at_once(&scene, SocketAddr::new(address, PORT))?;
    }
    // The client's own packets leave their checksums to a NIC that there is not.
    let (complaints, right) = observer.stop()?.checksums()?;
    assert_eq!(complaints, [""; 0]);
    assert!(right >= 2 * usize::from(TRIES), "{right} resets");
    Ok(())
}

#[test]
fn ports_that_a_service_does_not_have_are_refused_at_once() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    let beyond = beyond_uplink(&scene)?;
    for address in SERVICE {
        refused_at_once(&scene, SocketAddr::new(address, PORT + 1))?;
    }
    for (number, route) in (0..).zip(scene.routes()) {
        let few = Burst::of(route, 5).first_id(number * 5);
        let report = scene.client.namespace.block_on(|| burst(few))?;
        scene.check(&report)?;
    }
    nothing_left(&scene, beyond)
}

#[test]
fn a_service_s_address_answers_pings() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    let beyond = beyond_uplink(&scene)?;
    for address in SERVICE {
        for length in [0, 1, 56, 1_400, 1_452] {
            let echo = scene.client.namespace.run(|| ping(address, length))?;
            echo.with_context(|| format!("{length} bytes to {address}"))?;
        }
    }
    nothing_left(&scene, beyond)
}

#[test]
fn nothing_for_an_unallocated_address_leaves_the_node() -> anyhow::Result<()> {
    let scene = Scene::with_agent(1, &[])?;
    let beyond = beyond_uplink(&scene)?;
    for address in UNALLOCATED {
        let target = SocketAddr::new(address, PORT);
        let (dialled, told, echo) = scene.client.namespace.run(|| {
            (
                TcpStream::connect_timeout(&target, SILENCE).map(drop),
                datagram(target, 40),
                ping(address, 56),
            )
        })?;
        for silence in [dialled, told, echo] {
            let kind = silence.map_err(|error| error.kind());
            assert!(
                matches!(kind, Err(ErrorKind::TimedOut | ErrorKind::WouldBlock)),
                "{address}: {kind:?}"
            );
        }
    }
    nothing_left(&scene, beyond)
}

/// Whoever gives the node an address where Services have theirs from, or a Service's own.
#[test]
fn what_is_for_the_node_itself_gets_there() -> anyhow::Result<()> {
    let scene = Scene::with_agent(0, &[])?;
    for address in [SERVICE, UNALLOCATED].concat() {
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let node = &scene.node.namespace;
        node.ip(&format!("addr add {address}/{whole} dev lo\n"))?;
        // Such as that of its SSH.
        let target = SocketAddr::new(address, 22);
        let listener = node.run(|| {
            wait::until("the address to be there", PATIENCE, || {
                TcpListener::bind(target).ok()
            })
        })??;
        let client = &scene.client.namespace;
        let dialled = client.run(|| TcpStream::connect_timeout(&target, Duration::from_secs(2)))?;
        dialled.with_context(|| format!("dialling {target}"))?;
        drop(listener);
        client.run(|| ping(address, 56))??;
    }
    Ok(())
}

#[test]
fn answers_stay_within_the_rate_and_the_bytes_that_came() -> anyhow::Result<()> {
    const RATE: u32 = 100;
    const SENT: u32 = 1_000;
    let scene = Scene::with_agent(0, &["--answer-rate", &RATE.to_string()])?;
    for address in SERVICE {
        let target = SocketAddr::new(address, PORT);
        let client = &scene.client.namespace;
        let filter = format!("host {address}");
        let observer = Observer::start(&scene.lab, client, "eth0", &filter)?;
        let begun = Instant::now();
        client.run(|| flood(target, SENT))??;
        let seconds = begun.elapsed().as_secs_f64();
        let seen = observer.stop()?;
        let [mut asked, mut answered] = [0; 2];
        let mut answers = 0_u32;
        for (frame, ends) in seen.frames.iter().zip(seen.packets()?) {
            if ends.source == address {
                answers += 1;
                answered += frame.len();
            } else {
                asked += frame.len();
            }
        }
        let most = f64::from(RATE) * (seconds + 0.1) + 2.0;
        ensure!(
            answers > 0 && f64::from(answers) <= most,
            "{answers} answers"
        );
        ensure!(answered <= asked, "{answered} bytes for {asked}");
    }
    Ok(())
}

#[test]
fn the_node_answers_nothing_if_it_is_told_so() -> anyhow::Result<()> {
    let flags = [
        "--no-endpoint",
        "drop",
        "--ping",
        "drop",
        "--unknown-port",
        "drop",
    ];
    let scene = Scene::with_agent(0, &flags)?;
    for address in SERVICE {
        for port in [PORT, PORT + 1] {
            let target = SocketAddr::new(address, port);
            let client = &scene.client.namespace;
            let (dialled, echo) = client.run(|| {
                (
                    TcpStream::connect_timeout(&target, SILENCE).map(drop),
                    ping(address, 56),
                )
            })?;
            for silence in [dialled, echo] {
                let kind = silence.map_err(|error| error.kind());
                assert!(
                    matches!(kind, Err(ErrorKind::TimedOut | ErrorKind::WouldBlock)),
                    "{target}: {kind:?}"
                );
            }
        }
    }
    Ok(())
}

/// Tries of each kind; the fastest counts, since this machine may be busy.
const TRIES: u8 = 10;

/// That TCP and UDP, with little and with much in it, are refused in no time.
fn refused_at_once(scene: &Scene, target: SocketAddr) -> anyhow::Result<()> {
    let dial: &(dyn Fn() -> IoResult<()> + Sync) =
        &|| TcpStream::connect_timeout(&target, Duration::from_secs(2)).map(drop);
    let short: &(dyn Fn() -> IoResult<()> + Sync) = &|| datagram(target, 1);
    let long: &(dyn Fn() -> IoResult<()> + Sync) = &|| datagram(target, 1_400);
    for (what, once) in [("TCP", dial), ("UDP", short), ("long UDP", long)] {
        let fastest = scene.client.namespace.run(|| {
            let tries = (0..TRIES).map(|_| {
                let begun = Instant::now();
                let kind = once().map_err(|error| error.kind());
                ensure!(
                    kind == Err(ErrorKind::ConnectionRefused),
                    "{what} to {target}: {kind:?}"
                );
                Ok(begun.elapsed())
            });
            let times = tries.collect::<anyhow::Result<Vec<_>>>()?;
            times.into_iter().min().context("no try")
        })??;
        let is_emulated = tests::guest::is_emulated();
        ensure!(
            is_emulated || fastest <= AT_ONCE,
            "{what} to {target} is refused after {fastest:?}"
        );
    }
    Ok(())
}

/// Sends a datagram on a connected socket, and waits for what comes.
fn datagram(target: SocketAddr, length: usize) -> IoResult<()> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(SILENCE))?;
    socket.send(&vec![0x5a; length])?;
    socket.recv(&mut [0; 2_000]).map(drop)
}

/// Sends so many short datagrams, some thousand in a second.
fn flood(target: SocketAddr, count: u32) -> IoResult<()> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    for number in 0..count {
        socket.send_to(b"short", target)?;
        // No faster than an observer sees.
        if number % 10 == 9 {
            wait::pass(Duration::from_millis(2));
        }
    }
    Ok(())
}

/// Asks for an echo of so many bytes, by a socket that the kernel has for that (icmp(7)).
fn ping(target: IpAddr, length: usize) -> IoResult<()> {
    let (family, protocol, request, reply) = match target {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8, 0),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128, 129),
    };
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0")?;
    let socket = UdpSocket::from(socket(family, SocketType::DGRAM, Some(protocol))?);
    socket.connect((target, 0))?;
    socket.set_read_timeout(Some(SILENCE))?;
    let mut message = vec![request, 0, 0, 0, 0, 0, 0, 1];
    message.extend((0..length).map(|at| at.to_le_bytes()[0]));
    socket.send(&message)?;
    let mut answer = vec![0; 2_000];
    let got = socket.recv(&mut answer)?;
    let same = answer.get(8..got) == message.get(8..) && answer.first() == Some(&reply);
    if same {
        Ok(())
    } else {
        Err(std::io::Error::other("the echo is another"))
    }
}

/// Looks for anything to an address of Services that leaves the node.
pub(crate) fn beyond_uplink(scene: &Scene) -> anyhow::Result<Observer> {
    let outside = &scene.node.outside.namespace;
    let to_services = "dst net 10.96.0.0/16 or dst net fd00:10:96::/112";
    Observer::start(&scene.lab, outside, "eth0", to_services)
}

/// That nothing did, but for what the observer is shown: the node's own packet, which enters
/// through no edge.
pub(crate) fn nothing_left(scene: &Scene, observer: Observer) -> anyhow::Result<()> {
    let shown = SocketAddr::new(UNALLOCATED[0], 7);
    scene.node.namespace.run(|| flood(shown, 1))??;
    let seen = observer.stop()?.packets()?;
    let left: Vec<_> = seen.iter().filter(|it| it.source != Node::V4).collect();
    ensure!(left.is_empty(), "left the node: {left:?}");
    ensure!(
        seen.len() == 1,
        "the observer does not see what it is shown"
    );
    Ok(())
}
