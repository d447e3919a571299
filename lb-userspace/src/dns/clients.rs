// SPDX-License-Identifier: MIT OR Apache-2.0
//! For whom other servers are asked: not for everybody who reaches us, as a server that asks for
//! anybody lends its address to those who flood others with answers. Names of the cluster are
//! everybody's.

use ipnet::IpNet;
use std::net::IpAddr;

/// Where pods and nodes have their addresses: private ones, shared ones, and those of a link.
const USUAL: [&str; 8] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

/// Whose questions about other names are handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients(Vec<IpNet>);

impl Clients {
    /// Those in these ranges; where there are none, those in the usual ones.
    pub fn new(ranges: Vec<IpNet>) -> Self {
        if !ranges.is_empty() {
            return Self(ranges);
        }
        let usual = USUAL.iter().filter_map(|range| range.parse().ok());
        let itself = [IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]).into()];
        Self(usual.chain(itself).collect())
    }

    /// Whether this is one of them.
    pub fn include(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.0.iter().any(|range| range.contains(&client))
    }
}

#[cfg(test)]
mod tests {
    use super::Clients;

    #[test]
    fn strangers_are_not_asked_for() {
        for (ranges, client, is_one) in [
            (&[][..], "10.244.0.5", true),
            (&[], "100.64.1.1", true),
            (&[], "172.31.0.1", true),
            (&[], "fd00:1::5", true),
            (&[], "fe80::1", true),
            (&[], "::1", true),
            (&[], "::ffff:10.0.0.1", true),
            (&[], "172.32.0.1", false),
            (&[], "203.0.113.7", false),
            (&[], "2001:db8::7", false),
            (&["203.0.113.0/24"], "203.0.113.7", true),
            (&["203.0.113.0/24"], "10.244.0.5", false),
            (&["::/0"], "2001:db8::7", true),
        ] {
            let clients = Clients::new(ranges.iter().map(|it| it.parse().unwrap()).collect());
            assert_eq!(clients.include(client.parse().unwrap()), is_one, "{client}");
        }
    }
}
