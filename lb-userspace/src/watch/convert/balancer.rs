// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a Service says of its load balancer: addresses, who may dial them, and its probe.

use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use super::{addresses, parse_address};

/// `ipMode: Proxy` means that the balancer wants packets at its own address even from inside the
/// cluster (KEP-1860), so such an address is not ours to serve.
pub(super) fn ips(object: &Service, ignored: &mut Vec<String>) -> Vec<IpAddr> {
    let balancer = object.status.as_ref();
    let ingress = balancer.and_then(|status| status.load_balancer.as_ref());
    let ingress = ingress
        .into_iter()
        .flat_map(|it| it.ingress.iter().flatten());
    let ours = ingress.filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
    addresses(
        "status.loadBalancer.ingress",
        ours.filter_map(|ingress| ingress.ip.as_ref()),
        ignored,
    )
}

/// The API has let blanks around ranges pass (`ValidateService`), so they are trimmed.
///
/// A list of which nothing makes sense is not the same as no list: who wanted to keep people out
/// does not let everybody in by a slip.
pub(super) fn source_ranges(spec: &ServiceSpec, ignored: &mut Vec<String>) -> Option<Vec<IpNet>> {
    let texts = spec.load_balancer_source_ranges.as_ref()?;
    if texts.is_empty() {
        return None;
    }
    let mut ranges = Vec::new();
    for text in texts {
        match parse_range(text.trim()) {
            Some(range) if !ranges.contains(&range) => ranges.push(range),
            Some(_) => {}
            None => ignored.push(format!(
                "loadBalancerSourceRanges has {text:?}, which is no range of addresses; nobody is \
                 let in by it"
            )),
        }
    }
    Some(ranges)
}

pub(super) fn health_check_node_port(spec: &ServiceSpec, ignored: &mut Vec<String>) -> u16 {
    let asked = spec.health_check_node_port.unwrap_or(0);
    u16::try_from(asked).unwrap_or_else(|error| {
        ignored.push(format!("healthCheckNodePort {asked}: {error}"));
        0
    })
}

/// A range in the sloppy spelling of [`parse_address`]; bits behind the prefix do not count.
fn parse_range(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let range = IpNet::new(parse_address(address)?, length.parse().ok()?);
    Some(range.ok()?.trunc())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn source_ranges_keep_out_who_is_not_named() {
        for (ranges, want, ignored) in [
            (json!(null), None, 0),
            (json!([]), None, 0),
            (
                json!([" 10.0.0.1/8\t", "10.0.0.0/8"]),
                Some(&["10.0.0.0/8"][..]),
                0,
            ),
            (
                json!(["010.0.0.0/8", "fd00::/8"]),
                Some(&["10.0.0.0/8", "fd00::/8"]),
                0,
            ),
            (json!(["10.0.0.0", "10.0.0.0/33", ""]), Some(&[]), 3),
        ] {
            let spec = serde_json::from_value(json!({"loadBalancerSourceRanges": ranges}));
            let mut said = Vec::new();
            let found = source_ranges(&spec.expect("a spec"), &mut said);
            let found: Option<Vec<_>> =
                found.map(|ranges| ranges.iter().map(ToString::to_string).collect());
            let want = want.map(|want| want.iter().map(ToString::to_string).collect());
            assert_eq!((found, said.len()), (want, ignored), "{ranges}");
        }
    }
}
