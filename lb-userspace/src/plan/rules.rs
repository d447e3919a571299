// SPDX-License-Identifier: MIT OR Apache-2.0
//! What whoever runs the node decides for all Services.

use std::net::IpAddr;

use super::IpFamily;
use crate::{config::NodePortRange, model::Forwarding};

/// Decisions of the operator. The defaults are the careful ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Which addresses of the node node ports are on; none named: the primary ones.
    pub node_ports: Vec<NodePortRange>,
    /// Whether `spec.externalIPs` count. Whoever may write a Service could take any address with
    /// them (CVE-2020-8554), so they do not unless somebody wants it.
    pub external_ips: bool,
    /// How clients from outside get to backends of other nodes, unless their Service says it.
    pub forwarding: Forwarding,
}

impl Rules {
    /// Those of a node's addresses that node ports are on, of which the Node object lists all.
    pub(super) fn node_port_addresses(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let is_primary = |address: &IpAddr| {
            let family = IpFamily::of(*address);
            let mut of_family = addresses.iter().filter(|it| IpFamily::of(**it) == family);
            of_family.next() == Some(address)
        };
        let is_in = |range: &NodePortRange, address: &IpAddr| match range {
            NodePortRange::Cidr(range) => range.contains(address),
            NodePortRange::Primary => is_primary(address),
            NodePortRange::All => true,
            NodePortRange::Localhost => address.is_loopback(),
        };
        let chosen = addresses.iter().filter(|address| match &*self.node_ports {
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
        let addresses = ["192.0.2.1", "2001:db8::1", "198.51.100.1", "2001:db8::2"];
        let parsed = addresses.map(|it| it.parse().expect("a row's address"));
        for (texts, chosen) in [
            (&[][..], &["192.0.2.1", "2001:db8::1"][..]),
            (&["primary"], &["192.0.2.1", "2001:db8::1"]),
            (&["all"], &addresses),
            (&["localhost"], &[]),
            (&["198.51.100.0/24"], &["198.51.100.1"]),
            (
                &["198.51.100.0/24", "2001:db8::2/128"],
                &["198.51.100.1", "2001:db8::2"],
            ),
            (&["0.0.0.0/0"], &["192.0.2.1", "198.51.100.1"]),
            (&["203.0.113.0/24"], &[]),
        ] {
            let ranges = texts.iter().map(|text| text.parse().expect("a row"));
            let rules = Rules {
                node_ports: ranges.collect(),
                ..Rules::default()
            };
            let found = rules.node_port_addresses(&parsed);
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, chosen, "{texts:?}");
        }
    }
}
