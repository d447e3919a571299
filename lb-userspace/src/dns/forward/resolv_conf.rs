// SPDX-License-Identifier: MIT OR Apache-2.0
//! The name servers that a file in the form of `resolv.conf(5)` lists.

use crate::bounded;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

const LONGEST: u64 = 64 * 1_024;
const PORT: u16 = 53;

/// The servers, in the file's order; lines that make no sense are passed over, as resolvers do.
pub fn nameservers(path: &Path) -> io::Result<Vec<SocketAddr>> {
    Ok(parse(&bounded::read_regular_text(path, LONGEST)?))
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().map(str::split_whitespace);
    let servers = lines.filter_map(|mut words| {
        let is_server = words.next()? == "nameserver";
        let word = words.next().filter(|_| is_server)?;
        word.parse()
            .ok()
            .map(|it: IpAddr| SocketAddr::new(it, PORT))
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn servers_are_read_and_the_rest_is_passed_over() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\n\
                    nameserver\tfd00::1  # by hand\nnameserver fe80::1%eth0\nnameserver\n\
                    options ndots:5\n";
        let servers = super::parse(text);
        let expected = ["192.0.2.1:53", "[fd00::1]:53"].map(|text| text.parse().unwrap());
        assert_eq!(servers, expected);
    }
}
