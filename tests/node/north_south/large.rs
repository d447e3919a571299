// SPDX-License-Identifier: MIT OR Apache-2.0
//! Datagrams that no link can carry whole, through a masquerade and back.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tests::netns::RpFilter;

use super::pod;
use crate::{
    region::{FAR_NAME, NODE, Region, VISITOR},
    scene::PORT,
};

/// Of a backend elsewhere, whose own server has the usual one.
const SERVED: u16 = 9_090;
const NODE_PORT: u16 = 30_050;
const PATIENCE: Duration = Duration::from_secs(20);
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
        for socket in [&backend, &socket] {
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        socket.connect(node)?;
        for length in LENGTHS {
            let sent: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
            let mut buffer = vec![0; 1 << 16];
            let echoed = thread::scope(|scope| {
                let echo = scope.spawn(|| {
                    let mut buffer = vec![0; 1 << 16];
                    let (length, seen) = backend.recv_from(&mut buffer)?;
                    backend.send_to(&buffer[..length], seen).map(|_| seen)
                });
                socket.send(&sent)?;
                echo.join().expect("no panic")
            });
            let seen = echoed.with_context(|| format!("{length} bytes to {node}"))?;
            ensure!(seen.ip() == node.ip(), "{seen} instead of {node}");
            let length = socket.recv(&mut buffer).context("the answer")?;
            ensure!(buffer[..length] == sent, "{node} answers something else");
        }
    }
    Ok(())
}
