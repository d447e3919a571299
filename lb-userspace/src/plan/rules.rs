// SPDX-License-Identifier: MIT OR Apache-2.0
//! What whoever runs the node decides for all Services.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use super::IpFamily;

/// Decisions of the operator. The defaults are the careful ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Which addresses of the node node ports are on.
    pub node_ports: NodePorts,
    /// Whether `spec.externalIPs` count. Whoever may write a Service could take any address with
    /// them (CVE-2020-8554), so they do not unless somebody wants it.
    pub external_ips: bool,
}

/// Which addresses of the node node ports are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePorts {
    /// The first address of each family that the Node object lists.
    #[default]
    Primary,
    /// All that the Node object lists.
    All,
    /// Those of them that are in one of these ranges.
    In(Vec<IpNet>),
}

/// Not a selection of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of addresses; give ranges like 192.0.2.0/24, `primary` or `all`")]
pub struct BadNodePorts(String);

impl NodePorts {
    /// The selected ones of a node's addresses.
    pub(super) fn choose(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        match self {
            Self::All => addresses.to_vec(),
            Self::In(ranges) => {
                let chosen = addresses.iter().copied();
                let within = |address: &IpAddr| ranges.iter().any(|it| it.contains(address));
                chosen.filter(within).collect()
            }
            Self::Primary => {
                let first = |family| {
                    let mut all = addresses.iter().copied();
                    all.find(|address| IpFamily::of(*address) == family)
                };
                let families = [IpFamily::V4, IpFamily::V6];
                families.into_iter().filter_map(first).collect()
            }
        }
    }
}

impl FromStr for NodePorts {
    type Err = BadNodePorts;

    /// As kube-proxy's `--nodeport-addresses`: ranges with commas between them, or `primary`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let range = |text: &str| {
            let range: Result<IpNet, _> = text.trim().parse();
            range.map_err(|_error| BadNodePorts(text.to_owned()))
        };
        match text.trim() {
            "" | "primary" => Ok(Self::Primary),
            "all" => Ok(Self::All),
            ranges => ranges
                .split(',')
                .map(range)
                .collect::<Result<_, _>>()
                .map(Self::In),
        }
    }
}

impl fmt::Display for NodePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary => f.write_str("primary"),
            Self::All => f.write_str("all"),
            Self::In(ranges) => {
                let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
                f.write_str(&ranges.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ports_are_on_the_selected_addresses() {
        let addresses = ["192.0.2.1", "2001:db8::1", "198.51.100.1", "2001:db8::2"];
        let parsed = addresses.map(|it| it.parse().expect("a row's address"));
        for (text, chosen) in [
            ("", &["192.0.2.1", "2001:db8::1"][..]),
            ("primary", &["192.0.2.1", "2001:db8::1"]),
            ("all", &addresses),
            ("198.51.100.0/24", &["198.51.100.1"]),
            (
                "198.51.100.0/24, 2001:db8::2/128",
                &["198.51.100.1", "2001:db8::2"],
            ),
            ("0.0.0.0/0", &["192.0.2.1", "198.51.100.1"]),
            ("203.0.113.0/24", &[]),
        ] {
            let rule: NodePorts = text.parse().expect("a row");
            let found = rule.choose(&parsed);
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, chosen, "{text:?}");
            assert_eq!(rule.to_string().parse(), Ok(rule), "{text:?}");
        }
        assert!("192.0.2.1".parse::<NodePorts>().is_err());
        assert!("primary,192.0.2.0/24".parse::<NodePorts>().is_err());
    }
}
