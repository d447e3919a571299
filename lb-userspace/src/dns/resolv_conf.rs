// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files in the form of `resolv.conf(5)`: who is asked, and which names a short one may mean.

use crate::bounded;
use hickory_proto::rr::Name as DomainName;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

const LONGEST: u64 = 64 * 1_024;
const PORT: u16 = 53;

/// What such a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// The name servers, in the file's order.
    pub servers: Vec<SocketAddr>,
    /// What is put behind short names.
    pub search: Vec<DomainName>,
    /// A name with so many dots is tried as it is first.
    pub ndots: usize,
}

impl ResolvConf {
    /// Reads a file; lines that make no sense are passed over, as resolvers do.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::parse(&bounded::read_regular_text(path, LONGEST)?))
    }

    fn parse(text: &str) -> Self {
        let mut conf = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse().ok());
                    let address = address.map(|address: IpAddr| SocketAddr::new(address, PORT));
                    conf.servers.extend(address);
                }
                // The last one counts.
                Some("search" | "domain") => conf.search = words.filter_map(absolute).collect(),
                Some("options") => {
                    let dots = words.find_map(|word| word.strip_prefix("ndots:"));
                    let dots = dots.and_then(|dots| dots.parse().ok());
                    conf.ndots = dots.unwrap_or(conf.ndots);
                }
                _ => {}
            }
        }
        conf
    }

    /// The names that a name may mean, in the order in which the C library tries them.
    pub fn candidates(&self, name: &str) -> Vec<DomainName> {
        let as_it_is = absolute(name);
        if name.ends_with('.') {
            return as_it_is.into_iter().collect();
        }
        let below = self.search.iter();
        let below = below.filter_map(|domain| absolute(&format!("{name}.{}", domain.to_ascii())));
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        if dots >= self.ndots {
            as_it_is.into_iter().chain(below).collect()
        } else {
            below.chain(as_it_is.clone()).collect()
        }
    }
}

fn absolute(text: &str) -> Option<DomainName> {
    let mut name = DomainName::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::ResolvConf;

    fn candidates(conf: &ResolvConf, name: &str) -> Vec<String> {
        let names = conf.candidates(name);
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn servers_are_read_and_the_rest_is_passed_over() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\n\
                    nameserver\tfd00::1  # by hand\nnameserver fe80::1%eth0\nnameserver\n\
                    options edns0 ndots:5\n";
        let conf = ResolvConf::parse(text);
        let expected = ["192.0.2.1:53", "[fd00::1]:53"].map(|text| text.parse().unwrap());
        assert_eq!(conf.servers, expected);
        assert_eq!(conf.ndots, 5);
    }

    #[test]
    fn short_names_are_looked_for_along_the_search_path() {
        let text = "search default.svc.cluster.local cluster.local\noptions ndots:2\n";
        let conf = ResolvConf::parse(text);
        let short = [
            "web.default.svc.cluster.local.",
            "web.cluster.local.",
            "web.",
        ];
        assert_eq!(candidates(&conf, "web"), short);
        let long = [
            "a.b.c.",
            "a.b.c.default.svc.cluster.local.",
            "a.b.c.cluster.local.",
        ];
        assert_eq!(candidates(&conf, "a.b.c"), long);
        assert_eq!(candidates(&conf, "web."), ["web."]);
        assert_eq!(candidates(&conf, "a..b"), [""; 0]);
    }
}
