// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of the DNS server: where it listens, the cluster's domain, whom it asks.

use crate::{
    dns::{clients::Clients, forward::Upstreams, server, zone::Zone},
    model::Name,
};
use hickory_proto::rr::Name as DomainName;
use ipnet::IpNet;
use lb_common::wire::Resolver;
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
    /// Whether the kernel answers; none: where the answers are sure to be ours anyway.
    pub kernel: Option<KernelDns>,
    /// What the kernel leaves to who serves; none: what it is by default.
    pub kernel_except: Option<Except>,
    /// Who else is asked; none: whom `/etc/resolv.conf` names.
    pub upstreams: Vec<Upstream>,
    /// For whom; none: for whoever has an address of the usual ranges.
    pub clients: Vec<IpNet>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            domain: Domain(DomainName::from_ascii("cluster.local.").unwrap_or_default()),
            ttl_s: 30,
            service: ServiceName(Name::new("kube-system", "kube-dns")),
            kernel: None,
            kernel_except: None,
            upstreams: Vec::new(),
            clients: Vec::new(),
        }
    }
}

/// What `--kernel-dns` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KernelDns {
    /// The kernel answers no questions for names.
    Off,
    /// It answers none, and what it would have answered is compared with what others answer.
    Shadow,
    /// It answers those to the DNS Service that it can.
    On,
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
        let clients = Clients::new(self.clients.clone());
        let settings = server::Settings {
            listen,
            upstreams,
            clients,
        };
        (!settings.listen.is_empty()).then_some(settings)
    }

    /// Whether the kernel answers. In a cluster, whoever else answers may have other names.
    pub fn kernel(&self, is_standalone: bool) -> KernelDns {
        let is_ours = is_standalone && !self.listen.is_empty();
        let default = if is_ours {
            KernelDns::On
        } else {
            KernelDns::Off
        };
        self.kernel.unwrap_or(default)
    }

    /// What the kernel leaves to who serves, as [`Resolver::passed`]. Others than our server know
    /// Pods by their addresses, too (`pod` of `CoreDNS`).
    pub fn kernel_except(&self, is_standalone: bool) -> [u64; 4] {
        let default = || {
            Except(if is_standalone {
                Vec::new()
            } else {
                vec!["pod".to_owned()]
            })
        };
        let labels = self.kernel_except.clone().unwrap_or_else(default);
        let mut words = [0; 4];
        for (word, label) in words.iter_mut().zip(&labels.0) {
            *word = Resolver::passed_label(label.as_bytes());
        }
        words
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
            super::as_given::join(&self.listen)
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

/// The uppermost labels below the domain of names that the kernel leaves alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Except(Vec<String>);

/// Not such labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write up to four labels with commas between them, such as `pod` for names that end in \
     .pod.cluster.local, or `none`"
)]
pub struct BadExcept;

impl FromStr for Except {
    type Err = BadExcept;

    fn from_str(text: &str) -> Result<Self, BadExcept> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let labels: Vec<_> = text.split(',').map(str::to_owned).collect();
        let is_label = |label: &String| {
            let is_letter = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(is_letter)
        };
        (labels.len() <= 4 && labels.iter().all(is_label))
            .then_some(Self(labels))
            .ok_or(BadExcept)
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
    fn what_is_excepted_is_up_to_four_labels() {
        let words = |text: &str| {
            let kernel_except = Some(text.parse::<Except>().ok()?);
            let dns = Dns {
                kernel_except,
                ..Dns::default()
            };
            Some(dns.kernel_except(false))
        };
        let pod = Resolver::passed_label(b"pod");
        assert_eq!(words("none"), Some([0; 4]));
        assert_eq!(words("Pod"), Some([pod, 0, 0, 0]));
        assert_eq!(words("a,b,c,pod").map(|it| it[3]), Some(pod));
        for text in [
            "",
            "a,b,c,d,e",
            "pod.cluster.local",
            "a,,b",
            &"x".repeat(64),
        ] {
            assert_eq!(words(text), None, "{text}");
        }
        let default = Dns::default();
        assert_eq!(default.kernel_except(false), [pod, 0, 0, 0]);
        assert_eq!(default.kernel_except(true), [0; 4]);
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
