// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where probes and metrics are served: kube-proxy's addresses and ports.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// kube-proxy's ports.
const PROBES: u16 = 10_256;
const METRICS: u16 = 10_249;

/// What is served, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// `/healthz`, `/livez`, `/readyz`.
    pub probes: Option<SocketAddr>,
    /// `/metrics`.
    pub metrics: Option<SocketAddr>,
    /// An address that cannot be had ends the agent.
    pub hard_fail: bool,
}

/// The flags for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenServers {
    /// `--healthz-bind-address`.
    pub probes: Option<BindAddress>,
    /// `--metrics-bind-address`.
    pub metrics: Option<BindAddress>,
    /// `--bind-address`, of which only the family counts.
    pub bind: Option<IpAddr>,
    /// `--bind-address-hard-fail`.
    pub hard_fail: bool,
}

/// An address as kube-proxy's flags have it: nothing, an address, or an address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindAddress {
    /// Empty: nothing is served.
    Off,
    /// The usual port of an address.
    Usual(IpAddr),
    /// All said.
    Full(SocketAddr),
}

/// Not such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write an IP address and a port, such as 0.0.0.0:10256 or [::]:10256, or nothing (\"\") to \
     serve nothing"
)]
pub struct BadBindAddress;

impl FromStr for BindAddress {
    type Err = BadBindAddress;

    fn from_str(text: &str) -> Result<Self, BadBindAddress> {
        if text.is_empty() {
            return Ok(Self::Off);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Usual(address));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() > 0 => Ok(Self::Full(address)),
            _ => Err(BadBindAddress),
        }
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Usual(address) => write!(f, "{address}"),
            Self::Full(address) => write!(f, "{address}"),
        }
    }
}

impl BindAddress {
    fn with(self, port: u16) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::Usual(address) => Some(SocketAddr::new(address, port)),
            Self::Full(address) => Some(address),
        }
    }
}

impl GivenServers {
    /// kube-proxy's defaults, where `usual`; otherwise nothing is served unasked: two agents on one
    /// machine, such as demos, must not get into each other's way.
    pub(super) fn resolve(self, usual: bool) -> Servers {
        let v6 = self.bind.is_some_and(|address| address.is_ipv6());
        let (any, local): (IpAddr, IpAddr) = if v6 {
            (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into())
        } else {
            (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into())
        };
        let default = |address, port| usual.then(|| SocketAddr::new(address, port));
        Servers {
            probes: self
                .probes
                .map_or_else(|| default(any, PROBES), |given| given.with(PROBES)),
            metrics: self
                .metrics
                .map_or_else(|| default(local, METRICS), |given| given.with(METRICS)),
            hard_fail: self.hard_fail,
        }
    }
}

/// One phrase for the log.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |address: Option<SocketAddr>| match address {
            Some(address) => address.to_string(),
            None => "off".to_owned(),
        };
        write!(
            f,
            "probes {}, metrics {}",
            of(self.probes),
            of(self.metrics)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_kube_proxy_does() {
        for (text, probes) in [
            ("", Ok(None)),
            ("10.0.0.1", Ok(Some("10.0.0.1:10256"))),
            ("::", Ok(Some("[::]:10256"))),
            ("127.0.0.1:99", Ok(Some("127.0.0.1:99"))),
            ("[fd00::1]:99", Ok(Some("[fd00::1]:99"))),
            ("127.0.0.1:0", Err(BadBindAddress)),
            (":10256", Err(BadBindAddress)),
            ("localhost:10256", Err(BadBindAddress)),
            ("10.0.0.1:99999", Err(BadBindAddress)),
        ] {
            let parsed = text.parse::<BindAddress>();
            let found = parsed.map(|address| address.with(PROBES));
            let expected = probes.map(|text| text.map(|text| text.parse().unwrap()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn defaults_are_those_of_kube_proxy_in_a_cluster_only() {
        let described = |given: GivenServers, usual| given.resolve(usual).to_string();
        let nothing = GivenServers::default();
        let usual = "probes 0.0.0.0:10256, metrics 127.0.0.1:10249";
        assert_eq!(described(nothing, true), usual);
        assert_eq!(described(nothing, false), "probes off, metrics off");
        let v6 = GivenServers {
            bind: Some(Ipv6Addr::UNSPECIFIED.into()),
            ..nothing
        };
        let usual = "probes [::]:10256, metrics [::1]:10249";
        assert_eq!(described(v6, true), usual);
        let off = GivenServers {
            metrics: Some(BindAddress::Off),
            ..nothing
        };
        assert_eq!(described(off, true), "probes 0.0.0.0:10256, metrics off");
    }
}
