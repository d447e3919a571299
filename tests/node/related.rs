// SPDX-License-Identifier: MIT OR Apache-2.0
//! ICMP errors do their work through a Service: senders learn the path's MTU, from both sides, and
//! that nobody listens.
//!
//! The client is behind one router more than usual: the pod of the scene. Both it and the node
//! have a route with a small MTU, towards the client and towards the backend: so the errors about
//! what the backend sends come in at the client's edge, and those about what the client sends
//! leave the node there. All links have MTU 1500, so neither end knows from its own.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu, ipv6_mtu, set_ip_mtu_discover,
    set_ipv6_mtu_discover,
};
use serde_json::json;
use tests::{figures, netns::Namespace, wait};

use crate::scene::{POD_PORT, PORT, Scene, V4, V6};

/// The far client's addresses.
const FAR_V4: Ipv4Addr = Ipv4Addr::new(10, 244, 200, 2);
const FAR_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 200, 2);
/// Of both routes; IPv6 allows none that is smaller (RFC 8200, section 5).
pub(crate) const SMALL_MTU: u32 = 1_280;
/// Of a datagram that fits the links, but not those routes.
const LARGE: usize = 1_400;
/// How often each transfer is made; the fastest counts, as the machine has other things to do.
const ROUNDS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(20);

/// Who sends.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The client.
    Up,
    /// The backend.
    Down,
}

/// A scene with one backend, and a client behind the scene's client.
struct Far {
    scene: Scene,
    client: Namespace,
}

impl Far {
    fn set() -> anyhow::Result<Self> {
        let scene = Scene::with_agent(1, &[])?;
        let client = scene.lab.namespace("far")?;
        let router = &scene.client;
        let (router_v4, router_v6, link) = (router.v4, router.v6, &router.link);
        router.namespace.sysctl("net/ipv4/ip_forward", "1")?;
        router
            .namespace
            .sysctl("net/ipv6/conf/all/forwarding", "1")?;
        router.namespace.ip(&format!(
            "link add name far0 type veth peer name eth0 netns {far}\n\
             link set far0 up\n\
             addr add fe80::1/64 dev far0 nodad\n\
             route add {FAR_V4}/32 dev far0 mtu {SMALL_MTU}\n\
             route add {FAR_V6}/128 dev far0 mtu {SMALL_MTU}\n",
            far = client.name()
        ))?;
        client.ip(&format!(
            "link set eth0 up\n\
             addr add {FAR_V4}/32 dev eth0\n\
             addr add {FAR_V6}/128 dev eth0 nodad\n\
             route add {router_v4}/32 dev eth0 scope link\n\
             route add default via {router_v4} dev eth0\n\
             route add default via fe80::1 dev eth0\n"
        ))?;
        let pod = &scene.backends[0];
        let (v4, v6, pod_link) = (pod.v4, pod.v6, &pod.link);
        scene.node.namespace.ip(&format!(
            "route add {FAR_V4}/32 via {router_v4} dev {link}\n\
             route add {FAR_V6}/128 via {router_v6} dev {link}\n\
             route replace {v4}/32 dev {pod_link} src 10.244.0.1 mtu lock {SMALL_MTU}\n\
             route replace {v6}/128 dev {pod_link} mtu lock {SMALL_MTU}\n"
        ))?;
        Ok(Self { scene, client })
    }

    /// The client, the Service and its backend in each family.
    fn ends(&self) -> [(IpAddr, SocketAddr, SocketAddr); 2] {
        let pod = &self.scene.backends[0];
        let service = |address| SocketAddr::new(address, PORT);
        let backend = |address| SocketAddr::new(address, POD_PORT);
        [
            (FAR_V4.into(), service(V4.into()), backend(pod.v4.into())),
            (FAR_V6.into(), service(V6.into()), backend(pod.v6.into())),
        ]
    }

    /// Opens a connection, and has both of its ends.
    fn connect(&self, to: SocketAddr, listener: &TcpListener) -> anyhow::Result<[TcpStream; 2]> {
        let connect = || TcpStream::connect_timeout(&to, PATIENCE);
        let client = self.client.run(connect)?.context("connecting")?;
        let (backend, _client) = listener.accept().context("accepting")?;
        for end in [&client, &backend] {
            end.set_read_timeout(Some(PATIENCE))?;
            end.set_write_timeout(Some(PATIENCE))?;
        }
        Ok([client, backend])
    }

    /// Sends so many bytes through a new connection, whose sender must learn the path's MTU; how
    /// long that takes.
    fn transfer(
        &self,
        target: SocketAddr,
        listener: &TcpListener,
        way: Way,
        bytes: usize,
    ) -> anyhow::Result<Duration> {
        forget_paths([&self.client, &self.scene.backends[0].namespace])?;
        let [mut client, mut backend] = self.connect(target, listener)?;
        let (from, to) = match way {
            Way::Up => (&mut client, &mut backend),
            Way::Down => (&mut backend, &mut client),
        };
        let start = Instant::now();
        send(from, to, bytes)?;
        let took = start.elapsed();
        let mtu = mtu(from, target.ip())?;
        ensure!(mtu == SMALL_MTU, "the sender believes in MTU {mtu}");
        Ok(took)
    }
}

/// Lets machines forget what they have learnt of paths.
pub(crate) fn forget_paths(machines: [&Namespace; 2]) -> anyhow::Result<()> {
    for namespace in machines {
        for family in ["-4", "-6"] {
            let mut command = namespace.command("ip");
            let status = command.args([family, "route", "flush", "cache"]).status()?;
            ensure!(status.success(), "flushing learnt routes: {status}");
        }
    }
    Ok(())
}

/// Sends so many bytes from one end of a connection to the other.
pub(crate) fn send(from: &mut TcpStream, to: &mut TcpStream, bytes: usize) -> anyhow::Result<()> {
    let received = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            from.write_all(&vec![0x5a; bytes])?;
            from.shutdown(Shutdown::Write)
        });
        let end = to.read_to_end(&mut Vec::new());
        sending.join().expect("no panic").context("sending")?;
        end.context("receiving")
    })?;
    ensure!(
        received == bytes,
        "{received} of {bytes} bytes have arrived"
    );
    Ok(())
}

/// What a connected socket knows of its path.
pub(crate) fn mtu(socket: impl AsFd, address: IpAddr) -> anyhow::Result<u32> {
    Ok(match address {
        IpAddr::V4(_) => ip_mtu(socket)?,
        IpAddr::V6(_) => ipv6_mtu(socket)?,
    })
}

#[test]
fn senders_on_both_sides_learn_the_paths_mtu() {
    figures::check("path-mtu", |run| {
        let mut far = Far::set()?;
        far.scene.servers.clear();
        let bytes = usize::try_from(run.size)? * 1_000_000;
        let mut ratios = Vec::new();
        for (_, service, pod) in far.ends() {
            // On a port of its own: the client's ports may come again within a tombstone's life.
            let direct = SocketAddr::new(pod.ip(), POD_PORT + 1);
            let listen = |at| {
                let listen = || TcpListener::bind(at);
                far.scene.backends[0].namespace.run(listen)
            };
            let ways_in = [(direct, listen(direct)??), (service, listen(pod)??)];
            for way in [Way::Up, Way::Down] {
                let mut fastest = [Duration::MAX; 2];
                for _round in 0..ROUNDS {
                    for ((target, listener), fastest) in ways_in.iter().zip(&mut fastest) {
                        let took = far
                            .transfer(*target, listener, way, bytes)
                            .with_context(|| format!("{target}, {way:?}"))?;
                        *fastest = took.min(*fastest);
                    }
                }
                let ratio = fastest[1].as_secs_f64() / fastest[0].as_secs_f64();
                ensure!(ratio <= 1.5, "{service}, {way:?}: {fastest:?}");
                ratios.push(json!((ratio * 100.0).round() / 100.0));
            }
        }
        Ok(vec![(
            "times the direct one: IPv4 up, down, IPv6 up, down",
            json!(ratios),
        )])
    });
}

#[test]
fn datagrams_that_are_too_big_are_refused_at_their_source() -> anyhow::Result<()> {
    let far = Far::set()?;
    for (client, service, _) in far.ends() {
        let bind = || UdpSocket::bind((client, 0));
        let socket = far.client.run(bind)??;
        match client {
            IpAddr::V4(_) => set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DO)?,
            IpAddr::V6(_) => set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DO)?,
        }
        socket.connect(service)?;
        let what = format!("EMSGSIZE for a datagram to {service}");
        wait::until(&what, PATIENCE, || {
            let error = socket.send(&[7; LARGE]).err()?;
            (error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())).then_some(())
        })?;
        assert_eq!(mtu(&socket, client)?, SMALL_MTU);
    }
    Ok(())
}

#[test]
fn nobody_listens_and_both_sides_are_told() -> anyhow::Result<()> {
    let mut far = Far::set()?;
    far.scene.servers.clear();
    for (client, service, pod) in far.ends() {
        let bind = || UdpSocket::bind((client, 0));
        let socket = far.client.run(bind)??;
        socket.connect(service)?;
        refused(&socket)?;

        // The other way round: the client has gone when it is answered.
        let bind = || UdpSocket::bind(pod);
        let backend = far.scene.backends[0].namespace.run(bind)??;
        backend.set_read_timeout(Some(PATIENCE))?;
        socket.send(b"hello")?;
        let (_length, seen) = backend.recv_from(&mut [0; 64])?;
        drop(socket);
        backend.connect(seen)?;
        refused(&backend)?;
    }
    Ok(())
}

/// Sends until the answer is that nobody listens: hosts limit how many errors they send.
fn refused(socket: &UdpSocket) -> anyhow::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    for _ in 0..10 {
        let sent = socket.send(b"is there anybody?");
        match sent.and_then(|_length| socket.recv(&mut [0; 64])) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => bail!("{other:?}"),
        }
    }
    bail!("nobody says that nobody listens")
}
