// SPDX-License-Identifier: MIT OR Apache-2.0
//! Addresses that neither a Service nor an endpoint may have, whoever asks for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is wrong with an address, or nothing.
///
/// The kernel would not route to these from elsewhere, and translating to them would reach what is
/// open to the node itself only: kube-proxy and the API refuse them for the same reason
/// (CVE-2020-8558; `ValidateEndpointIP`).
pub(super) fn refused(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => refused_v4(address),
        IpAddr::V6(address) => refused_v6(address),
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    // RFC 1122, section 3.2.1.3: "this network", 0.0.0.0/8.
    if address.octets().first() == Some(&0) {
        Some("unspecified")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_link_local() {
        Some("a link-local address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_broadcast() {
        Some("the broadcast address")
    } else {
        None
    }
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("unspecified")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_unicast_link_local() {
        Some("a link-local address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.to_ipv4_mapped().is_some() {
        // RFC 4291, section 2.5.5.2: never on the wire.
        Some("an IPv4-mapped address")
    } else {
        None
    }
}
