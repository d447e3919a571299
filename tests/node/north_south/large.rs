// SPDX-License-Identifier: MIT OR Apache-2.0
//! What no link can carry whole, through a masquerade and back: datagrams in fragments, and
//! connections whose senders must learn the path's MTU.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tests::netns::RpFilter;

use super::pod;
use crate::{
    region::{FAR, FAR_NAME, NODE, Region, VISITOR},
    related::{SMALL_MTU, forget_paths, mtu, send},
    scene::PORT,
};

/// Of a backend elsewhere, whose own server has the usual one.
const SERVED: u16 = 9_090;
const NODE_PORT: u16 = 30_050;
const PATIENCE: Duration = Duration::from_secs(20);
const ONE_TRY: Duration = Duration::from_secs(2);
/// That a sender sends in each direction.
const BYTES: usize = 1_000_000;
/// Of datagrams: the last one has many fragments.
const LENGTHS: [usize; 3] = [1_600, 4_000, 16_000];

/// The region with a Service of the far backend, at the node's port.
fn served() -> anyhow::Result<Region> {
    let mut region = Region::set(RpFilter::Strict)?;
    let ports = format!("port: {PORT}, nodePort: {NODE_PORT}, targetPort: {SERVED}");
    region.scene.write(
        "served",
        &format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: served}}\nspec:\n  \
             type: NodePort\n  clusterIPs: [10.96.0.50, 'fd00:10:96::50']\n  \
             clusterIP: 10.96.0.50\n  \
             ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: RequireDualStack\n  \
             selector: {{app: far}}\n  ports:\n  \
             - {{name: tcp, {ports}}}\n  - {{name: udp, {ports}, protocol: UDP}}\n"
        ),
    )?;
    let far = pod(&region.far, FAR_NAME);
    region.scene.write("far-pod", &far)?;
    region.scene.start_agent(&[])?;
    Ok(region)
}

/// The visitor, whom it dials, and what serves there, in each family.
fn ends(region: &Region) -> [(IpAddr, SocketAddr, SocketAddr); 2] {
    let far: [IpAddr; 2] = [region.far.v4.into(), region.far.v6.into()];
    [0, 1].map(|family| {
        let node = SocketAddr::new(NODE[family], NODE_PORT);
        (VISITOR[family], node, SocketAddr::new(far[family], SERVED))
    })
}

#[test]
fn fragments_pass_a_masquerade_and_come_back() -> anyhow::Result<()> {
    let region = served()?;
    for (visitor, node, served) in ends(&region) {
        let backend = region.far.namespace.run(|| UdpSocket::bind(served))??;
        let visitor = SocketAddr::new(visitor, 0);
        let socket = region.visitor.run(|| UdpSocket::bind(visitor))??;
        backend.set_read_timeout(Some(PATIENCE))?;
        socket.connect(node)?;
        socket.set_read_timeout(Some(ONE_TRY))?;
        thread::scope(|scope| {
            scope.spawn(|| echo(&backend, node.ip()));
            let passed = LENGTHS
                .iter()
                .try_for_each(|length| passes(&socket, *length));
            // It ends by a datagram without bytes.
            socket.send(&[])?;
            passed.with_context(|| format!("to {node}"))
        })?;
    }
    Ok(())
}

/// Sends back what comes from one address, until nothing is in it.
fn echo(socket: &UdpSocket, client: IpAddr) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok((length @ 1.., seen)) = socket.recv_from(&mut buffer) {
        if seen.ip() == client {
            let _sent = socket.send_to(&buffer[..length], seen);
        }
    }
}

/// That a datagram of so many bytes comes back. Fragments may overtake one another where a sender
/// is moved to another processor between two, so there are some tries.
fn passes(socket: &UdpSocket, length: usize) -> anyhow::Result<()> {
    let sent: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
    let mut buffer = vec![0; 1 << 16];
    for _try in 0..10 {
        socket.send(&sent)?;
        match socket.recv(&mut buffer) {
            Ok(answered) => {
                ensure!(buffer[..answered] == sent, "the answer is something else");
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("{length} bytes do not come back")
}

/// The router, which is on both sides of our node, tells it by errors with its own address, and
/// would not take them back with that.
#[test]
fn senders_learn_the_mtu_beyond_a_masquerade() -> anyhow::Result<()> {
    let region = served()?;
    let [far_v4, far_v6] = FAR;
    let [visitor_v4, visitor_v6] = VISITOR;
    let (pod_v4, pod_v6) = (region.far.v4, region.far.v6);
    region.scene.node.outside.namespace.ip(&format!(
        "route add {pod_v4}/32 via {far_v4} mtu lock {SMALL_MTU}\n\
         route add {pod_v6}/128 via {far_v6} mtu lock {SMALL_MTU}\n\
         route add {visitor_v4}/32 dev out0 mtu lock {SMALL_MTU}\n\
         route add {visitor_v6}/128 dev out0 mtu lock {SMALL_MTU}\n"
    ))?;
    for (_, node, served) in ends(&region) {
        let listener = region.far.namespace.run(|| TcpListener::bind(served))??;
        for is_up in [true, false] {
            // Who knows a path tells the other end, by the size of the segments he takes.
            forget_paths([&region.visitor, &region.far.namespace])?;
            let connect = || TcpStream::connect_timeout(&node, PATIENCE);
            let client = region.visitor.run(connect)?.context("connecting")?;
            let (backend, seen) = listener.accept().context("accepting")?;
            ensure!(seen.ip() == node.ip(), "{seen} instead of {node}");
            let [mut from, mut to] = if is_up {
                [client, backend]
            } else {
                [backend, client]
            };
            for end in [&from, &to] {
                end.set_read_timeout(Some(PATIENCE))?;
                end.set_write_timeout(Some(PATIENCE))?;
            }
            let what = || format!("{node}, from the client: {is_up}");
            send(&mut from, &mut to, BYTES).with_context(what)?;
            let learnt = mtu(&from, node.ip())?;
            ensure!(learnt == SMALL_MTU, "{}: MTU {learnt}", what());
        }
    }
    Ok(())
}
