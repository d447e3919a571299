// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of the DNS server: where it listens, the cluster's domain, whom it asks.

use crate::{
    dns::{forward::Upstreams, server, zone::Zone},
    model::Name,
};
use hickory_proto::rr::Name as DomainName;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// The port of DNS.
const PORT: u16 = 53;

/// The longest that the specification's reference implementation takes.
const LONGEST_TTL_S: u32 = 3_600;

/// What the name servers of the cluster's domain are to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Where it listens; nowhere: there is no server.
    pub listen: Vec<DnsAddress>,
    /// The cluster's domain.
    pub domain: Domain,
    /// How long answers may be remembered, in seconds.
    pub ttl_s: u32,
    /// The Service that clients ask.
    pub service: ServiceName,
    /// Who else is asked; none: whom `/etc/resolv.conf` names.
    pub upstreams: Vec<Upstream>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            domain: Domain(DomainName::from_ascii("cluster.local.").unwrap_or_default()),
            ttl_s: 30,
            service: ServiceName(Name::new("kube-system", "kube-dns")),
            upstreams: Vec::new(),
        }
    }
}

impl Dns {
    /// What the server needs; none: there is none.
    pub fn server(&self) -> Option<server::Settings> {
        let listen: Vec<_> = self.listen.iter().map(|address| address.0).collect();
        let servers = self.upstreams.iter().filter_map(|upstream| match upstream {
            Upstream::None => None,
            Upstream::Server(address) => Some(address.0),
        });
        let upstreams = match &self.upstreams[..] {
            [] => Upstreams::File(PathBuf::from("/etc/resolv.conf")),
            [Upstream::None] => Upstreams::Nobody,
            _ => Upstreams::These(servers.collect()),
        };
        (!listen.is_empty()).then_some(server::Settings { listen, upstreams })
    }

    /// A zone without names.
    pub fn zone(&self) -> Zone {
        Zone::new(&self.domain.0, self.ttl_s)
    }
}

/// One phrase for the log.
impl fmt::Display for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.listen.is_empty() {
            return f.write_str("DNS off");
        }
        write!(
            f,
            "DNS for {} at {}",
            self.domain,
            super::join(&self.listen)
        )
    }
}

/// An address of the server's: never "any", as answers must come from where was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsAddress(pub SocketAddr);

/// Not such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write one IP address, with or without a port, such as 192.0.2.1 or [fd00::1]:53; \
     0.0.0.0 and [::] do not do, as an answer has to come from the address that was asked"
)]
pub struct BadDnsAddress;

impl FromStr for DnsAddress {
    type Err = BadDnsAddress;

    fn from_str(text: &str) -> Result<Self, BadDnsAddress> {
        let alone = text
            .parse()
            .map(|address: IpAddr| SocketAddr::new(address, PORT));
        let address = alone.or_else(|_| text.parse()).or(Err(BadDnsAddress))?;
        let is_one = !address.ip().is_unspecified() && !address.ip().is_multicast();
        (is_one && address.port() > 0)
            .then_some(Self(address))
            .ok_or(BadDnsAddress)
    }
}

impl fmt::Display for DnsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who is asked for names that are not the cluster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Nobody.
    None,
    /// A server.
    Server(DnsAddress),
}

impl FromStr for Upstream {
    type Err = BadDnsAddress;

    fn from_str(text: &str) -> Result<Self, BadDnsAddress> {
        if text == "none" {
            return Ok(Self::None);
        }
        text.parse().map(Self::Server)
    }
}

/// The cluster's domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(DomainName);

/// Not a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a domain, such as cluster.local")]
pub struct BadDomain;

impl FromStr for Domain {
    type Err = BadDomain;

    fn from_str(text: &str) -> Result<Self, BadDomain> {
        let mut name = DomainName::from_ascii(text).or(Err(BadDomain))?;
        name.set_fqdn(true);
        // Room for the longest names that Services and their ports have.
        (!name.is_root() && name.len() < 128)
            .then_some(Self(name.to_lowercase()))
            .ok_or(BadDomain)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_ascii().trim_end_matches('.'))
    }
}

/// A Service, as `kubectl` would name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName(pub Name);

/// Not a Service's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write NAMESPACE/NAME, such as kube-system/kube-dns")]
pub struct BadServiceName;

impl FromStr for ServiceName {
    type Err = BadServiceName;

    fn from_str(text: &str) -> Result<Self, BadServiceName> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self(Name::new(namespace, name)))
            }
            _ => Err(BadServiceName),
        }
    }
}

/// Seconds that answers may be remembered.
pub fn parse_ttl_s(text: &str) -> Result<u32, BadTtl> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse();
    let seconds = seconds.ok().filter(|seconds| *seconds <= LONGEST_TTL_S);
    seconds.ok_or(BadTtl)
}

/// Not such a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write seconds from 0s to 3600s")]
pub struct BadTtl;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_port_and_are_one_address() {
        for (text, expected) in [
            ("192.0.2.1", Ok("192.0.2.1:53")),
            ("192.0.2.1:5353", Ok("192.0.2.1:5353")),
            ("fd00::1", Ok("[fd00::1]:53")),
            ("[fd00::1]:54", Ok("[fd00::1]:54")),
            ("0.0.0.0", Err(BadDnsAddress)),
            ("[::]:53", Err(BadDnsAddress)),
            ("192.0.2.1:0", Err(BadDnsAddress)),
            ("224.0.0.251", Err(BadDnsAddress)),
            ("localhost", Err(BadDnsAddress)),
        ] {
            let parsed = text.parse::<DnsAddress>().map(|it| it.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn domains_are_kept_in_one_form() {
        for (text, expected) in [
            ("cluster.local", Ok("cluster.local")),
            ("Cluster.Local.", Ok("cluster.local")),
            ("", Err(BadDomain)),
            (".", Err(BadDomain)),
            ("a..b", Err(BadDomain)),
        ] {
            let parsed = text.parse::<Domain>().map(|it| it.to_string());
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        }
        assert!("a.".repeat(64).parse::<Domain>().is_err(), "too long");
    }

    #[test]
    fn who_is_asked() {
        let upstreams = |texts: &[&str]| {
            let dns = Dns {
                listen: vec![DnsAddress("192.0.2.1:53".parse().unwrap())],
                upstreams: texts.iter().map(|text| text.parse().unwrap()).collect(),
                ..Dns::default()
            };
            dns.server().unwrap().upstreams
        };
        assert_eq!(upstreams(&["none"]), Upstreams::Nobody);
        assert_eq!(upstreams(&[]), Upstreams::File("/etc/resolv.conf".into()));
        let these = Upstreams::These(vec!["9.9.9.9:53".parse().unwrap()]);
        assert_eq!(upstreams(&["9.9.9.9"]), these);
        assert_eq!(Dns::default().server(), None);
        assert_eq!(parse_ttl_s("5s"), Ok(5));
        assert_eq!(parse_ttl_s("3601"), Err(BadTtl));
    }
}
