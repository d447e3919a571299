// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche run`: the flags of the DNS server.

use clap::Args;
use ipnet::IpNet;
use lb_userspace::config::dns::{
    Dns, DnsAddress, Domain, Except, KernelDns, ServiceName, Upstream, parse_ttl_s,
};

/// Names of Services, answered on the node.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Names")]
pub(super) struct DnsArgs {
    /// Answer DNS queries, by UDP and TCP, at this address of the node; the port is 53 if none is
    /// given. May be repeated, or separated by commas [default: no DNS server].
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    dns_listen: Vec<DnsAddress>,
    /// The cluster's domain, as the kubelet has it.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    cluster_domain: Domain,
    /// How long answers may be remembered.
    #[arg(long, value_name = "SECONDS", default_value = "30s", value_parser = parse_ttl_s)]
    dns_ttl: u32,
    /// The Service that Pods ask. Standalone, without a selector, it leads to --dns-listen.
    #[arg(
        long,
        value_name = "NAMESPACE/NAME",
        default_value = "kube-system/kube-dns"
    )]
    dns_service: ServiceName,
    /// Whether the kernel itself answers questions to --dns-service, where it knows the answer;
    /// `shadow` only compares that with what others answer [default: on in standalone mode with
    /// --dns-listen, off otherwise].
    #[arg(long, value_name = "WHETHER")]
    kernel_dns: Option<KernelDns>,
    /// What the kernel leaves to who serves --dns-service, because others than the Services have
    /// names there: up to four labels right below the domain, or `none` [default: pod in cluster
    /// mode, none in standalone mode].
    #[arg(long, value_name = "LABELS")]
    kernel_dns_except: Option<Except>,
    /// Who is asked for other names, or `none` to refuse them; may be repeated [default: the name
    /// servers of /etc/resolv.conf].
    #[arg(
        long,
        value_name = "ADDRESS",
        value_delimiter = ',',
        requires = "dns_listen"
    )]
    dns_upstream: Vec<Upstream>,
    /// For whom others are asked: clients in this range; may be repeated. Names of the cluster are
    /// answered to everybody [default: private, shared and link-local ranges, and loopback].
    #[arg(
        long,
        value_name = "CIDR",
        value_delimiter = ',',
        requires = "dns_listen"
    )]
    dns_clients: Vec<IpNet>,
}

impl DnsArgs {
    pub(super) fn dns(self) -> Dns {
        Dns {
            listen: self.dns_listen,
            domain: self.cluster_domain,
            ttl_s: self.dns_ttl,
            service: self.dns_service,
            kernel: self.kernel_dns,
            kernel_except: self.kernel_dns_except,
            upstreams: self.dns_upstream,
            clients: self.dns_clients,
        }
    }
}
