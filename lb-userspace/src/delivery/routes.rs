// SPDX-License-Identifier: MIT OR Apache-2.0
//! Routes with an MTU of their own. The host's stack goes by it; `bpf_fib_lookup` knows only of
//! one that is locked, of what was learnt and of the link's (`ip_mtu_from_fib_result`,
//! `ip6_mtu_from_fib6`).

use super::netlink::{Question, ask, attributes};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use std::io;

/// `RTM_GETROUTE`.
const GET_ROUTES: u16 = 26;
/// `struct rtmsg`.
const HEADER: usize = 12;
/// `RTA_OIF`, `RTA_METRICS`.
const INTERFACE: u16 = 4;
const METRICS: u16 = 8;
/// `RTAX_LOCK`, `RTAX_MTU`.
const LOCK: u16 = 1;
const MTU: u16 = 2;
/// `AF_INET`, `AF_INET6`.
const FAMILIES: [(u8, &str); 2] = [(2, "IPv4"), (10, "IPv6")];

/// All of them, in words.
pub(super) fn with_mtu() -> io::Result<Vec<String>> {
    let mut all = Vec::new();
    for (family, name) in FAMILIES {
        let mut body = [0; HEADER];
        body[0] = family;
        let routes = ask(Question {
            protocol: NETLINK_ROUTE,
            kind: GET_ROUTES,
            is_dump: true,
            body: &body,
        })?;
        let line = |route: &Vec<u8>| {
            let (mtu, ifindex) = mtu(route)?;
            Some(format!(
                "a route of {name} through interface {ifindex} has MTU {mtu}"
            ))
        };
        all.extend(routes.iter().filter_map(line));
    }
    Ok(all)
}

/// A route's own MTU, unless it is locked, and its interface, 0 if there are several.
fn mtu(route: &[u8]) -> Option<(u32, u32)> {
    let number = |value: &[u8]| value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    let find = |attributes: &[(u16, &[u8])], wanted| {
        let found = attributes.iter().find(|(number, _)| *number == wanted);
        found.and_then(|(_, value)| number(value))
    };
    let of_route = attributes(route, HEADER);
    let (_, metrics) = of_route.iter().find(|(number, _)| *number == METRICS)?;
    let metrics = attributes(metrics, 0);
    let is_locked = find(&metrics, LOCK).is_some_and(|locked| locked & 1 << MTU != 0);
    let mtu = find(&metrics, MTU).filter(|mtu| *mtu != 0 && !is_locked)?;
    Some((mtu, find(&of_route, INTERFACE).unwrap_or(0)))
}
