// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host's stack goes by when it routes, and direct delivery does not.
//!
//! A route's own MTU: `bpf_fib_lookup` knows only of one that is locked, of what was learnt and of
//! the link's (`ip_mtu_from_fib_result`, `ip6_mtu_from_fib6`). And ports, which it is not told.

use super::netlink::{Question, ask, attributes};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;
use std::io;

/// `RTM_GETROUTE`, `RTM_GETRULE`.
const GET_ROUTES: u16 = 26;
const GET_RULES: u16 = 34;
/// `struct rtmsg`, `struct fib_rule_hdr`.
const HEADER: usize = 12;
/// `RTA_OIF`, `RTA_METRICS`.
const INTERFACE: u16 = 4;
const METRICS: u16 = 8;
/// `RTAX_LOCK`, `RTAX_MTU`.
const LOCK: u16 = 1;
const MTU: u16 = 2;
/// `FRA_PRIORITY`, `FRA_SPORT_RANGE`, `FRA_DPORT_RANGE`.
const PRIORITY: u16 = 6;
const PORTS: [u16; 2] = [23, 24];
/// `AF_INET`, `AF_INET6`.
const FAMILIES: [(u8, &str); 2] = [(2, "IPv4"), (10, "IPv6")];

/// Routes with an MTU of their own, in words.
pub(super) fn with_mtu() -> io::Result<Vec<String>> {
    all(GET_ROUTES, |family, route| {
        let (mtu, ifindex) = mtu(route)?;
        Some(format!(
            "a route of {family} through interface {ifindex} has MTU {mtu}"
        ))
    })
}

/// Rules that choose a routing table by ports, in words.
pub(super) fn by_port() -> io::Result<Vec<String>> {
    let rules = all(GET_RULES, |family, rule| {
        let of_rule = attributes(rule, HEADER);
        let goes_by_port = of_rule.iter().any(|(number, _)| PORTS.contains(number));
        let priority = find(&of_rule, PRIORITY).unwrap_or(0);
        goes_by_port.then(|| format!("rule {priority} of {family} goes by ports"))
    });
    match rules {
        // A kernel that has one table for everything.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => Ok(Vec::new()),
        rules => rules,
    }
}

/// What is told of each thing of a kind, of both families.
fn all(kind: u16, told: impl Fn(&str, &[u8]) -> Option<String>) -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for (family, name) in FAMILIES {
        let mut body = [0; HEADER];
        body[0] = family;
        let answers = ask(Question {
            protocol: NETLINK_ROUTE,
            kind,
            is_dump: true,
            body: &body,
        })?;
        all.extend(answers.iter().filter_map(|answer| told(name, answer)));
    }
    Ok(all)
}

/// A route's own MTU, unless it is locked, and its interface, 0 if there are several.
fn mtu(route: &[u8]) -> Option<(u32, u32)> {
    let of_route = attributes(route, HEADER);
    let (_, metrics) = of_route.iter().find(|(number, _)| *number == METRICS)?;
    let metrics = attributes(metrics, 0);
    let is_locked = find(&metrics, LOCK).is_some_and(|locked| locked & 1 << MTU != 0);
    let mtu = find(&metrics, MTU).filter(|mtu| *mtu != 0 && !is_locked)?;
    Some((mtu, find(&of_route, INTERFACE).unwrap_or(0)))
}

/// The number that an attribute has.
fn find(attributes: &[(u16, &[u8])], wanted: u16) -> Option<u32> {
    let (_, value) = attributes.iter().find(|(number, _)| *number == wanted)?;
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}
