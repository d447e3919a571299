// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which of the node's addresses serve node ports, as kube-proxy's `--nodeport-addresses` says it.

use ipnet::IpNet;
use std::{fmt, str::FromStr};

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePortRange {
    /// Addresses of this range that the Node object or a link has.
    Cidr(IpNet),
    /// The Node object's first address of each family.
    Primary,
    /// All but none: 0.0.0.0/0 and `::/0`.
    All,
    /// 127.0.0.0/8 and `::1`.
    Localhost,
}

/// None of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a CIDR such as 192.0.2.0/24, or primary, all or localhost")]
pub struct BadNodePortRange;

impl FromStr for NodePortRange {
    type Err = BadNodePortRange;

    fn from_str(text: &str) -> Result<Self, BadNodePortRange> {
        match text {
            "primary" => Ok(Self::Primary),
            "all" => Ok(Self::All),
            "localhost" => Ok(Self::Localhost),
            cidr => match cidr.parse() {
                Ok(cidr) => Ok(Self::Cidr(cidr)),
                Err(_) => Err(BadNodePortRange),
            },
        }
    }
}

impl fmt::Display for NodePortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(cidr) => write!(f, "{cidr}"),
            Self::Primary => f.write_str("primary"),
            Self::All => f.write_str("all"),
            Self::Localhost => f.write_str("localhost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_of_kube_proxy() {
        for text in ["192.0.2.0/24", "fd00::/8", "primary", "all", "localhost"] {
            assert_eq!(text.parse::<NodePortRange>().unwrap().to_string(), text);
        }
        for text in ["", "192.0.2.1", "PRIMARY", "eth0"] {
            assert_eq!(
                text.parse::<NodePortRange>(),
                Err(BadNodePortRange),
                "{text}"
            );
        }
    }
}
