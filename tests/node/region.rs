// SPDX-License-Identifier: MIT OR Apache-2.0
//! A scene with the machines around the node: a router, a client beyond it, and another node with a
//! backend of its own. Neither of them has Weiche: what is not translated on our node goes wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tests::{
    netns::{Namespace, Node, Pod, RpFilter},
    traffic::Server,
};

use crate::scene::{POD_PORT, Scene};

/// Addresses of one machine, IPv4's and IPv6's.
pub(crate) type Ends = [IpAddr; 2];

/// Our node's.
pub(crate) const NODE: Ends = [IpAddr::V4(Node::V4), IpAddr::V6(Node::V6)];
/// The client's.
pub(crate) const VISITOR: Ends = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 7)),
];
/// The other node's.
pub(crate) const FAR: Ends = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x10)),
];
/// What Kubernetes would call the other node.
pub(crate) const FAR_NAME: &str = "far-node";

/// All of it.
pub(crate) struct Region {
    /// Behind the router.
    pub(crate) visitor: Namespace,
    /// A pod on our node.
    pub(crate) near: Pod,
    /// A pod on the other node.
    pub(crate) far: Pod,
    /// Theirs.
    pub(crate) servers: [Server; 2],
    /// Where that one is.
    pub(crate) far_node: Namespace,
    pub(crate) scene: Scene,
}

impl Region {
    /// Makes it; the agent does not run yet.
    pub(crate) fn set(rp_filter: RpFilter) -> anyhow::Result<Self> {
        let scene = Scene::set(0, rp_filter)?;
        let lab = &scene.lab;
        let router = &scene.node.outside.namespace;
        let visitor = lab.namespace("visitor")?;
        let far_node = lab.namespace("far-node")?;
        for namespace in [router, &far_node] {
            namespace.sysctl("net/ipv4/ip_forward", "1")?;
            namespace.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        }
        connect(router, "out0", &visitor, VISITOR)?;
        connect(router, "far0", &far_node, FAR)?;
        let near = scene.node.add_pod(lab, "near", 21)?;
        let far = Pod {
            namespace: lab.namespace("far")?,
            name: "far".to_owned(),
            v4: Ipv4Addr::new(10, 245, 0, 2),
            v6: Ipv6Addr::new(0xfd00, 0x10, 0x245, 0, 0, 0, 0, 2),
            link: "pod0".to_owned(),
        };
        connect(
            &far_node,
            &far.link,
            &far.namespace,
            [far.v4.into(), far.v6.into()],
        )?;
        let [far_v4, far_v6] = FAR;
        let (node_v4, node_v6) = (Node::V4, Node::V6);
        router.ip(&format!(
            "route add 10.245.0.0/24 via {far_v4}\n\
             route add fd00:10:245::/64 via {far_v6}\n\
             route add 10.96.0.0/16 via {node_v4}\n\
             route add fd00:10:96::/112 via {node_v6}\n\
             route add 198.18.0.0/24 via {node_v4}\n\
             route add 2001:db8:18::/64 via {node_v6}\n"
        ))?;
        let servers = [
            Server::start(&near, POD_PORT)?,
            Server::start(&far, POD_PORT)?,
        ];
        write_node(&scene)?;
        Ok(Self {
            visitor,
            near,
            far,
            servers,
            far_node,
            scene,
        })
    }
}

/// Links a machine to one that leads on: that one's end gets the first address of the network.
pub(crate) fn connect(
    onwards: &Namespace,
    link: &str,
    machine: &Namespace,
    [v4, v6]: Ends,
) -> anyhow::Result<()> {
    let (first_v4, first_v6) = (first(v4), first(v6));
    onwards.ip(&format!(
        "link add name {link} type veth peer name eth0 netns {}\n\
         link set {link} up\n\
         addr add {first_v4}/24 dev {link}\n\
         addr add {first_v6}/64 dev {link} nodad\n",
        machine.name()
    ))?;
    machine.ip(&format!(
        "link set eth0 up\n\
         addr add {v4}/24 dev eth0\n\
         addr add {v6}/64 dev eth0 nodad\n\
         route add default via {first_v4} dev eth0\n\
         route add default via {first_v6} dev eth0\n"
    ))?;
    onwards.wait_for_link(link)?;
    machine.wait_for_link("eth0")
}

/// The same address, but for its end, which is 1.
fn first(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            IpAddr::from([a, b, c, 1])
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 1])
        }
    }
}

/// Tells the agent which addresses its node has.
fn write_node(scene: &Scene) -> anyhow::Result<()> {
    let (name, [v4, v6]) = (Node::NAME, NODE);
    scene.write(
        "node",
        &format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nstatus:\n  addresses:\n  \
             - {{type: InternalIP, address: '{v4}'}}\n  \
             - {{type: InternalIP, address: '{v6}'}}\n"
        ),
    )
}
