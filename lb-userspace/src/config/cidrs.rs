// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ranges that Services' addresses come from: at most one of each family, and none of addresses
//! that the network stack or everybody else uses.

use super::{BadConfig, Config};
use ipnet::IpNet;
use lb_common::{
    family::{Family as _, V4, V6},
    wire::Range,
};
use std::net::IpAddr;

/// What kubeadm gives to Services, and the same for IPv6.
const USUAL: [&str; 2] = ["10.96.0.0/12", "fd00:10:96::/112"];

/// Ranges where no Service can be.
const FOREIGN: [(&str, &str); 9] = [
    ("0.0.0.0/8", "addresses of \"this network\""),
    ("127.0.0.0/8", "loopback addresses"),
    ("169.254.0.0/16", "link-local addresses"),
    ("224.0.0.0/4", "multicast addresses"),
    ("240.0.0.0/4", "reserved addresses"),
    ("::/128", "the unspecified address"),
    ("::1/128", "the loopback address"),
    ("fe80::/10", "link-local addresses"),
    ("ff00::/8", "multicast addresses"),
];

/// Not a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address and a prefix length, such as 10.96.0.0/12 or fd00:10:96::/112")]
pub struct BadCidr;

/// Reads one.
pub fn parse_cidr(text: &str) -> Result<IpNet, BadCidr> {
    text.trim().parse().or(Err(BadCidr))
}

impl Config {
    /// Where Services' addresses come from, IPv4's and IPv6's, if nobody else uses them.
    pub fn ranges(&self) -> [Range; 2] {
        let mut ranges = [Range::default(); 2];
        let [v4, v6] = &mut ranges;
        for cidr in self.service_cidrs.iter().filter(|_| self.owns_cidrs) {
            match cidr {
                IpNet::V4(cidr) => {
                    v4.network = V4::widen(cidr.network().octets());
                    v4.mask = V4::widen(cidr.netmask().octets());
                }
                IpNet::V6(cidr) => {
                    v6.network = V6::widen(cidr.network().octets());
                    v6.mask = V6::widen(cidr.netmask().octets());
                }
            }
        }
        ranges
    }
}

/// What was given, or what is usual.
pub(super) fn check(given: Vec<IpNet>) -> Result<Vec<IpNet>, BadConfig> {
    if given.is_empty() {
        return Ok(USUAL.iter().filter_map(|text| text.parse().ok()).collect());
    }
    let mut checked: Vec<IpNet> = Vec::new();
    for cidr in given.into_iter().map(|cidr| cidr.trunc()) {
        let twin = checked.iter().find(|other| is_v4(other) == is_v4(&cidr));
        if let Some(twin) = twin {
            return Err(BadConfig::SameFamily(*twin, cidr));
        }
        if let Some(what) = foreign(&cidr) {
            return Err(BadConfig::Foreign { cidr, what });
        }
        checked.push(cidr);
    }
    Ok(checked)
}

fn foreign(cidr: &IpNet) -> Option<&'static str> {
    let overlaps = |text: &str| {
        let range: Result<IpNet, _> = text.parse();
        range.is_ok_and(|range| range.contains(cidr) || cidr.contains(&range))
    };
    FOREIGN
        .iter()
        .find(|(range, _)| overlaps(range))
        .map(|(_, what)| *what)
}

fn is_v4(cidr: &IpNet) -> bool {
    matches!(cidr.addr(), IpAddr::V4(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_others_are_refused() {
        for (text, what) in [
            ("10.96.0.0/12", None),
            ("172.16.0.0/12", None),
            ("203.0.113.7/32", None),
            ("fd00:10:96::/112", None),
            ("2001:db8::/108", None),
            ("127.0.0.0/8", Some("loopback")),
            ("127.1.0.0/16", Some("loopback")),
            ("0.0.0.0/0", Some("this network")),
            ("96.0.0.0/3", Some("loopback")),
            ("224.0.0.0/24", Some("multicast")),
            ("169.254.1.0/24", Some("link-local")),
            ("::/0", Some("unspecified")),
            ("::1/128", Some("loopback")),
            ("fe80::/64", Some("link-local")),
            ("ff02::/16", Some("multicast")),
        ] {
            let found = check(vec![text.parse().unwrap()]);
            match (found, what) {
                (Ok(_), None) => {}
                (Err(error), Some(what)) => {
                    let said = error.to_string();
                    assert!(
                        said.contains(what) && said.contains("10.96.0.0/12"),
                        "{said}"
                    );
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_range_is_told_what_would_do() {
        for text in ["", "10.96.0.0", "10.96.0.0/33", "10.96.0/12", "x"] {
            let said = parse_cidr(text).unwrap_err().to_string();
            assert!(said.contains("10.96.0.0/12"), "{said}");
        }
    }
}
