// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fragments in any order, in both directions: what the first one has taught is used, what it has
//! not yet taught is dropped and counted, and nobody but the flow's backend gets anything.
//!
//! The fragments are the test's, written as they go; who puts them together is the kernel of the
//! other end.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::OwnedFd,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with,
};
use serde_json::{Value, json};
use tests::{
    figures::{self, Run},
    netns::{Namespace, Pod, RpFilter},
    packet::{Frame, udp},
    wait,
};

use crate::scene::{POD_PORT, PORT, Scene, V4, V6};

/// The client's port.
const CLIENT_PORT: u16 = 20_000;
/// Bytes of a fragment, and how far one may reach into the next.
const SIZE: usize = 1_400;
const OVERLAP: usize = 8;
/// Payloads: of two fragments, of some, and almost what UDP can.
const LENGTHS: [usize; 3] = [1_600, 8_000, 60_000];
const PATIENCE: Duration = Duration::from_secs(10);
/// What comes when all else has come.
const MARK: &[u8] = b"mark";

/// How the fragments of a datagram come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// As they are.
    Straight,
    Reversed,
    /// Each one twice in a row.
    Doubled,
    /// All of them, and then all of them again.
    Again,
    FirstLost,
    /// The first one ends behind where the second one begins.
    Overlapping,
}

impl Order {
    const ALL: [Self; 6] = [
        Self::Straight,
        Self::Reversed,
        Self::Doubled,
        Self::Again,
        Self::FirstLost,
        Self::Overlapping,
    ];

    /// The fragments as they go.
    fn arrange(self, datagram: &Frame) -> Vec<Frame> {
        let mut pieces = datagram.pieces(SIZE);
        match self {
            Self::Straight => {}
            Self::Reversed => pieces.reverse(),
            Self::Doubled => pieces = pieces.into_iter().flat_map(|it| [it.clone(), it]).collect(),
            Self::Again => pieces.extend(pieces.clone()),
            Self::FirstLost => drop(pieces.remove(0)),
            Self::Overlapping => pieces[0] = datagram.pieces(SIZE + OVERLAP).remove(0),
        }
        pieces
    }

    /// How often the datagram arrives.
    fn arrivals(self) -> usize {
        match self {
            Self::Straight | Self::Doubled => 1,
            Self::Again => 2,
            // What came before the first is gone; and Linux throws away what overlaps (RFC 5722).
            Self::Reversed | Self::FirstLost | Self::Overlapping => 0,
        }
    }

    /// How many of so many fragments come while nothing is known of their first.
    fn early(self, pieces: usize) -> usize {
        match self {
            Self::Reversed | Self::FirstLost => pieces - 1,
            Self::Straight | Self::Doubled | Self::Again | Self::Overlapping => 0,
        }
    }
}

/// One direction of a flow.
struct Way<'a> {
    /// Where the fragments go from, and what they bear.
    raw: OwnedFd,
    from: SocketAddr,
    to: SocketAddr,
    /// An ordinary socket of the sender, and who gets what it sends.
    sender: &'a UdpSocket,
    receiver: &'a UdpSocket,
    /// How fragments end of which nothing is known.
    early: [&'static str; 2],
}

#[test]
fn fragments_come_in_any_order() {
    figures::check("fragments-in-any-order", try_orders);
}

fn try_orders(run: Run) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let mut scene = Scene::set(2, RpFilter::Off)?;
    scene.servers.clear();
    for pod in scene.backends.iter().chain([&scene.client]) {
        // What is never complete is not to crowd out what follows.
        for (key, value) in [
            ("net/ipv4/ipfrag_time", "1"),
            ("net/ipv6/ip6frag_time", "1"),
            ("net/ipv4/ipfrag_high_thresh", "268435456"),
            ("net/ipv6/ip6frag_high_thresh", "268435456"),
        ] {
            pod.namespace.sysctl(key, value)?;
        }
    }
    scene.start_agent(&[])?;
    scene.wait_for_backends(2)?;
    let v4 = |pod: &Pod| IpAddr::from(pod.v4);
    let v6 = |pod: &Pod| IpAddr::from(pod.v6);
    let [sent, arrived, early] = sum([
        try_family(&scene, V4.into(), v4, run.size)?,
        try_family(&scene, V6.into(), v6, run.size)?,
    ]);
    Ok(vec![
        ("datagrams", json!(sent)),
        ("arrived", json!(arrived)),
        ("fragments without a first", json!(early)),
        ("astray", json!(0)),
    ])
}

/// Both directions of a flow of one family, whose addresses `of` knows.
fn try_family(
    scene: &Scene,
    service: IpAddr,
    of: impl Fn(&Pod) -> IpAddr,
    rounds: u64,
) -> anyhow::Result<[usize; 3]> {
    let client = SocketAddr::new(of(&scene.client), CLIENT_PORT);
    let service = SocketAddr::new(service, PORT);
    let socket = bound(&scene.client.namespace, client)?;
    socket.connect(service)?;
    let [first, second] = [0, 1].map(|pod| &scene.backends[pod]);
    let address = |pod| SocketAddr::new(of(pod), POD_PORT);
    let sockets = [
        bound(&first.namespace, address(first))?,
        bound(&second.namespace, address(second))?,
    ];
    let chosen = chosen(&socket, &sockets)?;
    let (pod, backend) = ([first, second][chosen], &sockets[chosen]);
    backend.connect(client)?;
    let up = Way {
        raw: raw(&scene.client.namespace, client)?,
        from: client,
        to: service,
        sender: &socket,
        receiver: backend,
        early: ["ingress", "fragment_early"],
    };
    let down = Way {
        raw: raw(&pod.namespace, client)?,
        from: address(pod),
        to: client,
        sender: backend,
        receiver: &socket,
        early: ["egress", "fragment_early"],
    };
    let counts = sum([up.try_all(scene, rounds)?, down.try_all(scene, rounds)?]);
    let astray = sockets[1 - chosen].recv(&mut [0; 64]);
    let kind = astray.map_err(|error| error.kind());
    ensure!(
        kind == Err(ErrorKind::WouldBlock),
        "at the other pod: {kind:?}"
    );
    Ok(counts)
}

fn sum([one, other]: [[usize; 3]; 2]) -> [usize; 3] {
    [0, 1, 2].map(|at| one[at] + other[at])
}

impl Way<'_> {
    /// Sends datagrams of all lengths in all orders; how many were sent and arrived, and how many
    /// fragments came early.
    fn try_all(&self, scene: &Scene, rounds: u64) -> anyhow::Result<[usize; 3]> {
        let before = self.count_early(scene)?;
        let [mut sent, mut arrived, mut early] = [0; 3];
        let mut number = 0_u16;
        for _round in 0..rounds {
            for length in LENGTHS {
                for order in Order::ALL {
                    number += 1;
                    let seen = self.try_one(order, length, number);
                    let (seen, pieces) = seen.with_context(|| {
                        let (from, to) = (self.from, self.to);
                        format!("{length} bytes from {from} to {to}, {order:?}")
                    })?;
                    sent += 1;
                    arrived += seen;
                    early += order.early(pieces);
                }
            }
        }
        let counted = self.count_early(scene)? - before;
        ensure!(counted == early, "{counted} of {early} early ones counted");
        Ok([sent, arrived, early])
    }

    /// Sends one datagram; how often it has arrived, and how many fragments it has.
    fn try_one(&self, order: Order, length: usize, number: u16) -> anyhow::Result<(usize, usize)> {
        let seed = usize::from(number);
        let payload = (seed..seed + length).map(|word| (word * 7).to_le_bytes()[0]);
        let payload: Vec<u8> = payload.collect();
        let datagram = udp(self.from, self.to).identified(number).payload(&payload);
        for piece in order.arrange(&datagram) {
            let target = SocketAddr::new(self.to.ip(), 0);
            let packet = &piece.bytes()[14..];
            sendto(&self.raw, packet, SendFlags::empty(), &target).context("sending")?;
        }
        self.sender.send(MARK)?;
        let mut arrivals = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = self.receiver.recv(&mut buffer).context("receiving")?;
            if buffer[..length] == *MARK {
                break;
            }
            ensure!(buffer[..length] == payload, "{length} other bytes came");
            arrivals += 1;
        }
        ensure!(arrivals == order.arrivals(), "it came {arrivals} times");
        Ok((arrivals, datagram.pieces(SIZE).len()))
    }

    fn count_early(&self, scene: &Scene) -> anyhow::Result<usize> {
        let [hook, reason] = self.early;
        Ok(usize::try_from(scene.weiche.ends()?.count(hook, reason))?)
    }
}

fn bound(at: &Namespace, address: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = at.run(|| UdpSocket::bind(address))??;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Which of the backends gets what the client sends; from now on the other one does not wait.
fn chosen(client: &UdpSocket, backends: &[UdpSocket; 2]) -> anyhow::Result<usize> {
    for backend in backends {
        backend.set_nonblocking(true)?;
    }
    client.send(MARK)?;
    let chosen = wait::until("the first datagram", PATIENCE, || {
        backends
            .iter()
            .position(|backend| backend.recv(&mut [0; 64]).is_ok())
    })?;
    backends[chosen].set_nonblocking(false)?;
    Ok(chosen)
}

/// A socket for whole packets of the family of an address.
fn raw(at: &Namespace, address: SocketAddr) -> anyhow::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let open = || {
        socket_with(
            family,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(ipproto::RAW),
        )
    };
    at.run(open)?.context("opening a raw socket")
}
