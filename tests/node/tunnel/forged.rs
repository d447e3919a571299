// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tunnels that no node has sent: nothing in them is delivered, and each is counted.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, ensure};
use tests::{
    link::PacketSocket,
    observer::Observer,
    packet::{Frame, other, udp},
    traffic::Protocol,
};

use super::{BALANCED, BY_TC, BY_TC_DIRECTLY, BY_XDP, NODE_PORT, hook, talk, targets, two_nodes};
use crate::{
    fleet::Fleet,
    region::{Ends, VISITOR},
    scene::{POD_PORT, PORT},
};

/// A datagram of the client's, in either format.
fn in_tunnel(from: IpAddr, to: IpAddr, inner: &Frame) -> [Frame; 2] {
    let inner = &inner.bytes()[14..];
    let (number, ethertype) = if to.is_ipv4() {
        (4, [8, 0])
    } else {
        (41, [0x86, 0xdd])
    };
    let geneve = [&[0, 0][..], &ethertype, b"wei", &[0], inner].concat();
    let outer = udp(SocketAddr::new(from, 50_000), SocketAddr::new(to, 6_081));
    [
        other(number, from, to).payload(inner),
        outer.no_checksum().payload(&geneve),
    ]
}

/// By which the router sends frames to a node, as nobody's stack would.
fn forger(fleet: &Fleet) -> anyhow::Result<PacketSocket> {
    // The station that the harness's frames go to.
    let station = "link set eth0 address 02:00:00:00:00:02\n";
    fleet.machines[1].namespace.ip(station)?;
    fleet.router.run(|| PacketSocket::open("node1"))?
}

#[test]
fn only_nodes_are_believed() -> anyhow::Result<()> {
    for flags in [BY_TC, BY_TC_DIRECTLY, BY_XDP] {
        let (fleet, _takes) = two_nodes("dsr-ipip", flags)?;
        let tunnels = believes_nodes_alone(&fleet).with_context(|| format!("{flags:?}"))?;
        // What comes in a tunnel has met XDP first, which leaves it to TC; what goes into one, XDP
        // has sent, but for what came before a neighbour was known.
        let [first, second] = [0, 1].map(|at| &fleet.machines[at]);
        let hook = hook(flags);
        let sent = first.counted(hook, "tunnelled")?;
        ensure!(sent > 0, "nothing sent at {hook}");
        let met = second.counted("xdp", "continued")?;
        let all = if hook == "xdp" { tunnels } else { 0 };
        ensure!(
            met >= all && (met > 0) == (all > 0),
            "XDP has met {met} of {all}"
        );
    }
    Ok(())
}

/// How many tunnels have come to the second node.
fn believes_nodes_alone(fleet: &Fleet) -> anyhow::Result<u64> {
    let [first, second] = [0, 1].map(|at| &fleet.machines[at]);
    let socket = forger(fleet)?;
    let filter = format!("udp dst port {POD_PORT}");
    let seen = Observer::start(&fleet.lab, &second.pod.namespace, "eth0", &filter)?;
    let pod: Ends = [second.pod.v4.into(), second.pod.v6.into()];
    let (mut sent, mut honest) = (0, 0);
    for family in [0, 1] {
        let client = SocketAddr::new(VISITOR[family], 5_000);
        let dialled = [
            SocketAddr::new(BALANCED[family].parse()?, PORT),
            SocketAddr::new(first.addresses[family], NODE_PORT),
        ];
        for dialled in dialled {
            let inner = udp(client, dialled).payload(b"1 1");
            // From the client itself, from its router, and from a pod of the other node's.
            let strangers = [
                VISITOR[family],
                [IpAddr::from([198, 51, 100, 1]), "2001:db8:100::1".parse()?][family],
                [first.pod.v4.into(), IpAddr::from(first.pod.v6)][family],
            ];
            for stranger in strangers {
                for frame in in_tunnel(stranger, pod[family], &inner) {
                    socket.send(&frame.bytes())?;
                    sent += 1;
                }
            }
            // A node's own are taken.
            for frame in in_tunnel(first.addresses[family], pod[family], &inner) {
                socket.send(&frame.bytes())?;
                honest += 1;
            }
        }
        // And from a node, but for what nobody serves.
        let nowhere = SocketAddr::new(BALANCED[family].parse()?, 81);
        let inner = udp(client, nowhere).payload(b"1 1");
        for frame in in_tunnel(first.addresses[family], pod[family], &inner) {
            socket.send(&frame.bytes())?;
        }
    }
    // What is honest, and comes after them.
    for targets in targets(fleet) {
        talk(&fleet.visitor, Protocol::Udp, targets[0])?;
    }
    let delivered = seen.stop()?.frames.len();
    ensure!(delivered == honest + 4, "{delivered} of {honest} and 4");
    let strange = second.counted("ingress", "stranger")?;
    ensure!(strange == sent, "{strange} of {sent} strange ones");
    let astray = second.counted("ingress", "astray")?;
    ensure!(astray == 4, "{astray} of 4 for nobody");
    Ok(sent + u64::try_from(honest + 4)? + astray)
}
