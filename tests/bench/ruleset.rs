// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules of the shape that kube-proxy's nftables mode writes, made from its public description:
//! a verdict map from address, protocol and port to a chain for each Service, in which `numgen`
//! draws the chain of an endpoint, which translates, and marks what comes back to itself.

use std::fmt::Write as _;

const SERVICES: u32 = 0xac10_0001;
const PODS: u32 = 0x0a00_0001;

/// What is there once, before any Service.
pub(crate) const BASE: &str = "\
table ip weiche-bench {
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
  map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict; }
  set cluster-ips { type ipv4_addr; }
  chain mark-for-masquerade { mark set mark or 0x4000; }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
  }
  chain filter-no-endpoints {
    ip daddr . meta l4proto . th dport vmap @no-endpoint-services
  }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain filter-forward {
    type filter hook forward priority -110;
    ct state new jump filter-no-endpoints
  }
  chain nat-postrouting {
    type nat hook postrouting priority srcnat;
    mark and 0x4000 == 0 return
    mark set mark xor 0x4000
    masquerade fully-random
  }
}
";

/// One transaction that adds Services with port 80 of a protocol.
pub(crate) fn add(services: std::ops::Range<u32>, endpoints: u32, protocol: &str) -> String {
    let mut text = String::new();
    // Chains first: what leads to them must find them.
    for service in services.clone() {
        line(
            &mut text,
            format_args!("add chain ip weiche-bench {}", chain(service, protocol)),
        );
        for pod in 0..endpoints {
            let pod = service * endpoints + pod;
            endpoint(&mut text, service, pod, protocol);
        }
        draw(
            &mut text,
            service,
            (0..endpoints).map(|pod| service * endpoints + pod),
            protocol,
        );
        line(
            &mut text,
            format_args!(
                "add element ip weiche-bench cluster-ips {{ {} }}\n\
                 add element ip weiche-bench service-ips {{ {0} . {protocol} . 80 : goto {} }}",
                address(SERVICES, service),
                chain(service, protocol)
            ),
        );
    }
    text
}

/// One transaction that replaces a Service's first pod.
pub(crate) fn change(service: u32, endpoints: u32, old: u32, new: u32) -> String {
    let protocol = "tcp";
    let mut text = String::new();
    endpoint(&mut text, service, new, protocol);
    line(
        &mut text,
        format_args!("flush chain ip weiche-bench {}", chain(service, protocol)),
    );
    let others = (1..endpoints).map(|pod| service * endpoints + pod);
    draw(
        &mut text,
        service,
        [new].into_iter().chain(others),
        protocol,
    );
    let gone = endpoint_chain(service, old, protocol);
    line(
        &mut text,
        format_args!("flush chain ip weiche-bench {gone}\ndelete chain ip weiche-bench {gone}"),
    );
    text
}

fn endpoint(text: &mut String, service: u32, pod: u32, protocol: &str) {
    let (chain, address) = (endpoint_chain(service, pod, protocol), address(PODS, pod));
    line(
        text,
        format_args!(
            "add chain ip weiche-bench {chain}\n\
             add rule ip weiche-bench {chain} ip saddr {address} jump mark-for-masquerade\n\
             add rule ip weiche-bench {chain} meta l4proto {protocol} dnat to {address}:8080"
        ),
    );
}

fn draw(text: &mut String, service: u32, pods: impl Iterator<Item = u32>, protocol: &str) {
    let (chain, address) = (chain(service, protocol), address(SERVICES, service));
    let targets: Vec<_> = (0..)
        .zip(pods)
        .map(|(number, pod): (u32, u32)| {
            format!("{number} : goto {}", endpoint_chain(service, pod, protocol))
        })
        .collect();
    line(
        text,
        format_args!(
            "add rule ip weiche-bench {chain} ip daddr {address} {protocol} dport 80 \
             ip saddr != 10.0.0.0/8 jump mark-for-masquerade\n\
             add rule ip weiche-bench {chain} numgen random mod {} vmap {{ {} }}",
            targets.len(),
            targets.join(", ")
        ),
    );
}

fn chain(service: u32, protocol: &str) -> String {
    format!(
        "service-{:08X}-ns/service-{service}/{protocol}/http",
        hashed(service)
    )
}

fn endpoint_chain(service: u32, pod: u32, protocol: &str) -> String {
    format!(
        "endpoint-{:08X}-ns/service-{service}/{protocol}/http__{}/8080",
        hashed(pod),
        address(PODS, pod)
    )
}

/// Looks like the hash that kube-proxy puts in front.
fn hashed(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b9)
}

fn address(first: u32, number: u32) -> std::net::Ipv4Addr {
    (first + number).into()
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _written = writeln!(text, "{arguments}");
}
