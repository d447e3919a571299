// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node with pods and an uplink, wired the way point-to-point CNI plug-ins do it: one veth pair
//! a pod, host routes on the node, and in the pod a default route through an address of the node.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Lab, Namespace, namespace::ip};

/// The node's address that pods use as their gateway; it answers ARP on every pod link.
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);

/// What the kernel does about packets whose source it would not route back the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpFilter {
    /// 0: nothing.
    Off,
    /// 1: drops them if another interface would be taken.
    Strict,
    /// 2: drops them if no interface would be taken.
    Loose,
}

impl RpFilter {
    /// Sets it, also for links to come: they take the default when they are made.
    pub fn set(self, namespace: &Namespace) -> anyhow::Result<()> {
        let value = match self {
            Self::Off => "0",
            Self::Strict => "1",
            Self::Loose => "2",
        };
        namespace.sysctl("net/ipv4/conf/all/rp_filter", value)?;
        namespace.sysctl("net/ipv4/conf/default/rp_filter", value)
    }
}

/// A node: a forwarding namespace whose pod links are called `veth…` and whose uplink is `eth0`.
#[derive(Debug)]
pub struct Node {
    /// Its namespace.
    pub namespace: Namespace,
    /// The machine behind its uplink.
    pub outside: Outside,
}

/// A host on the other side of the node's uplink, with routes to its pods but none to Services:
/// so an untranslated packet that leaves the node arrives here and can be seen.
#[derive(Debug)]
pub struct Outside {
    /// Its namespace; the link to the node is `eth0`.
    pub namespace: Namespace,
}

impl Outside {
    /// Its IPv4 address.
    pub const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    /// Its IPv6 address.
    pub const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
}

/// A pod: a namespace with one link, `eth0`, one IPv4 and one IPv6 address.
#[derive(Debug)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Namespace,
    /// What it is called.
    pub name: String,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
    /// The node's end of its link.
    pub link: String,
}

impl Pod {
    /// Gives its `eth0` the pod's addresses and routes.
    pub(crate) fn configure(&self) -> anyhow::Result<()> {
        let Self { v4, v6, .. } = self;
        self.namespace.ip(&format!(
            "link set eth0 up\n\
             addr add {v4}/32 dev eth0\n\
             addr add {v6}/128 dev eth0 nodad\n\
             route add {GATEWAY_V4}/32 dev eth0 scope link\n\
             route add default via {GATEWAY_V4} dev eth0\n\
             route add default via fe80::1 dev eth0\n"
        ))
    }
}

impl Node {
    /// What Kubernetes would call it.
    pub const NAME: &str = "demo-node";
    /// The node's IPv4 address on its uplink.
    pub const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    /// The node's IPv6 address on its uplink.
    pub const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);

    /// Makes a node without pods, and the host behind its uplink.
    pub fn new(lab: &Lab, rp_filter: RpFilter) -> anyhow::Result<Self> {
        let node = Self {
            namespace: lab.namespace("node")?,
            outside: Outside {
                namespace: lab.namespace("outside")?,
            },
        };
        rp_filter.set(&node.namespace)?;
        node.namespace.sysctl("net/ipv4/ip_forward", "1")?;
        node.namespace.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        node.connect_uplink()?;
        Ok(node)
    }

    /// Adds a pod whose addresses end in `number`, 2 to 65,535; both must be new on this node.
    pub fn add_pod(&self, lab: &Lab, name: &str, number: u16) -> anyhow::Result<Pod> {
        let [high, low] = number.to_be_bytes();
        let pod = Pod {
            namespace: lab.namespace(name)?,
            name: name.into(),
            v4: Ipv4Addr::new(10, 244, high, low),
            v6: Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, number),
            link: Self::link_name(number),
        };
        let Pod { v4, v6, link, .. } = &pod;
        let (inside, node) = (pod.namespace.name(), self.namespace.name());
        ip(
            None,
            &format!("link add name {link} netns {node} type veth peer name eth0 netns {inside}\n"),
        )?;
        self.namespace.ip(&format!(
            "link set {link} up alias {name}\n\
             addr add fe80::1/64 dev {link} nodad\n\
             route add {v4}/32 dev {link} src {GATEWAY_V4}\n\
             route add {v6}/128 dev {link}\n"
        ))?;
        pod.configure()?;
        self.namespace.wait_for_link(link)?;
        pod.namespace.wait_for_link("eth0")?;
        Ok(pod)
    }

    /// What the node's end of a pod's link is called.
    pub fn link_name(number: u16) -> String {
        format!("veth{number}")
    }

    /// Takes a pod away at once, its link included.
    pub fn remove_pod(&self, pod: &Pod) -> anyhow::Result<()> {
        // Without this the link would linger until the pod's last socket is closed.
        self.namespace.ip(&format!("link del {}\n", pod.link))
    }

    fn connect_uplink(&self) -> anyhow::Result<()> {
        let (inside, outside) = (&self.namespace, &self.outside.namespace);
        let (node_name, outside_name) = (inside.name(), outside.name());
        ip(
            None,
            &format!(
                "link add name eth0 netns {node_name} type veth \
                 peer name eth0 netns {outside_name}\n"
            ),
        )?;
        let (node_v4, node_v6) = (Self::V4, Self::V6);
        let (out_v4, out_v6) = (Outside::V4, Outside::V6);
        inside.ip(&format!(
            "link set eth0 up\n\
             addr add {GATEWAY_V4}/32 dev lo\n\
             addr add {node_v4}/24 dev eth0\n\
             addr add {node_v6}/64 dev eth0 nodad\n\
             route add default via {out_v4} dev eth0\n\
             route add default via {out_v6} dev eth0\n"
        ))?;
        outside.ip(&format!(
            "link set eth0 up\n\
             addr add {out_v4}/24 dev eth0\n\
             addr add {out_v6}/64 dev eth0 nodad\n\
             route add 10.244.0.0/16 via {node_v4} dev eth0\n\
             route add fd00:10:244::/64 via {node_v6} dev eth0\n"
        ))?;
        inside.wait_for_link("eth0")?;
        outside.wait_for_link("eth0")
    }
}
