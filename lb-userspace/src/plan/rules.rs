// SPDX-License-Identifier: MIT OR Apache-2.0
//! What whoever runs the node decides for all Services.

use std::{collections::BTreeSet, net::IpAddr};

use super::IpFamily;
use crate::{
    config::NodePortRange,
    model::{Forwarding, NodeFacts},
};

/// Decisions of the operator. The defaults are the careful ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Which of the node's addresses node ports are on; none named: the primary ones.
    pub node_ports: Vec<NodePortRange>,
    /// Whether `spec.externalIPs` count. Whoever may write a Service could take any address with
    /// them (CVE-2020-8554), so they do not unless somebody wants it.
    pub external_ips: bool,
    /// How clients from outside get to backends of other nodes, unless their Service says it.
    pub forwarding: Forwarding,
}

impl Rules {
    /// Whether node ports may be on addresses that the node's links have, whatever the Node object
    /// lists.
    pub fn asks_links(&self) -> bool {
        let of_links = |range: &NodePortRange| match range {
            NodePortRange::Cidr(_) | NodePortRange::All => true,
            NodePortRange::Primary | NodePortRange::Localhost => false,
        };
        self.node_ports.iter().any(of_links)
    }

    /// Those of a node's addresses that node ports are on. The primary ones are the Node object's,
    /// which is how kube-proxy has it as well.
    pub(super) fn node_port_addresses(&self, node: &NodeFacts) -> BTreeSet<IpAddr> {
        let is_primary = |address: &IpAddr| {
            let family = IpFamily::of(*address);
            let mut listed = node.addresses.iter();
            listed.find(|it| IpFamily::of(**it) == family) == Some(address)
        };
        let is_in = |range: &NodePortRange, address: &IpAddr| match range {
            NodePortRange::Cidr(range) => range.contains(address),
            NodePortRange::Primary => is_primary(address),
            NodePortRange::All => true,
            NodePortRange::Localhost => address.is_loopback(),
        };
        let all = node.addresses.iter().chain(&node.held);
        let chosen = all.filter(|address| match &*self.node_ports {
            [] => is_primary(address),
            ranges => ranges.iter().any(|range| is_in(range, address)),
        });
        chosen.copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ports_are_on_the_selected_addresses() {
        fn parsed<All: FromIterator<IpAddr>>(texts: &[&str]) -> All {
            let parsed = texts.iter().map(|it| it.parse().expect("an address"));
            parsed.collect()
        }
        let node = NodeFacts {
            addresses: parsed(&["192.0.2.2", "2001:db8::2", "198.51.100.1", "2001:db8::3"]),
            // The first one of both is a router's that others may get, so no object lists it.
            held: parsed(&["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]),
            ..NodeFacts::default()
        };
        let all = [
            "192.0.2.1",
            "192.0.2.2",
            "198.51.100.1",
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8::3",
        ];
        for (texts, asks, chosen) in [
            (&[][..], false, &["192.0.2.2", "2001:db8::2"][..]),
            (&["primary"], false, &["192.0.2.2", "2001:db8::2"]),
            (&["all"], true, &all),
            (&["localhost"], false, &[]),
            (&["198.51.100.0/24"], true, &["198.51.100.1"]),
            (
                &["198.51.100.0/24", "2001:db8::1/128"],
                true,
                &["198.51.100.1", "2001:db8::1"],
            ),
            (
                &["192.0.2.1/32", "primary"],
                true,
                &["192.0.2.1", "192.0.2.2", "2001:db8::2"],
            ),
            (&["0.0.0.0/0"], true, &all[..3]),
            (&["203.0.113.0/24"], true, &[]),
        ] {
            let ranges = texts.iter().map(|text| text.parse().expect("a row"));
            let rules = Rules {
                node_ports: ranges.collect(),
                ..Rules::default()
            };
            assert_eq!(rules.asks_links(), asks, "{texts:?}");
            let found = rules.node_port_addresses(&node);
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, chosen, "{texts:?}");
        }
    }
}
