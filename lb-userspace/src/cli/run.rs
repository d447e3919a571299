// SPDX-License-Identifier: MIT OR Apache-2.0
//! `weiche run`: the flags, turned into settings.

use super::{
    PinDir, StateDir, cleanup, dns_flags::DnsArgs, kube_proxy::KubeProxyArgs, output,
    refusals::RefusalArgs,
};
use clap::{ArgAction, Args};
use ipnet::IpNet;
use lb_common::wire::Timeouts;
use lb_userspace::{
    agent,
    config::{BindAddress, Config, Given, GivenServers, KeptTimeout, Timeout, parse_cidr},
    datapath::{AttachMode, Sizes, early::XdpWish, edges::Glob},
    delivery,
    model::Forwarding,
    plan::Rules,
};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_long_help = "\
The agent ends by SIGTERM or SIGINT, and everything it has set up goes on serving: programs and maps
are pinned. The next one takes over without a gap, also with other sizes. `weiche cleanup` ends it.

Examples:
  A folder of manifests, no cluster:
      weiche run --manifests /etc/weiche/manifests
  A cluster, from outside a pod, with a seed that no client knows:
      weiche run --kubeconfig /etc/kubernetes/weiche.conf --seed-file /etc/weiche/seed
  In place of kube-proxy, with its own file:
      weiche run --config /var/lib/kube-proxy/config.conf --hostname-override node-a
  Other interfaces than the usual ones:
      weiche run --manifests m --edge 'tap*' --edge 'veth*' --uplink eth1")]
pub(super) struct RunArgs {
    /// Folder of Kubernetes YAML (Service, Pod, `EndpointSlice`, Node, Namespace), followed for
    /// changes: standalone mode. Several are merged by kind, namespace and name.
    #[arg(long, value_name = "DIR")]
    manifests: Vec<PathBuf>,
    /// How to reach the API server: cluster mode. Without it and without --manifests, the service
    /// account of the pod that weiche runs in.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Interfaces where pods' packets enter: a name with `*` and `?`; may be repeated
    /// [default: veth*, cali*, lxc*, eni*, azv*, gke*].
    #[arg(long = "edge", value_name = "GLOB", help_heading = "Interfaces")]
    edges: Vec<Glob>,
    /// Interfaces towards other machines; may be repeated [default: those with a default route].
    #[arg(long = "uplink", value_name = "GLOB", help_heading = "Interfaces")]
    uplinks: Vec<Glob>,
    /// How programs get onto interfaces. When a clsact qdisc is added or removed, the kernel
    /// sends nothing on that interface for some milliseconds; restarts leave it in place.
    #[arg(
        long,
        value_name = "HOW",
        default_value = "auto",
        help_heading = "Interfaces"
    )]
    attach: AttachMode,
    /// How packets that go from one other machine to another meet us at uplinks: before the host's
    /// stack, where they may pass it by (--direct-delivery) and the NIC's driver can do that.
    #[arg(
        long,
        value_name = "HOW",
        default_value = "auto",
        help_heading = "Interfaces"
    )]
    xdp: XdpWish,
    /// When translated packets go straight to a pod or to a neighbour, past the host's stack.
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Interfaces"
    )]
    direct_delivery: delivery::Mode,
    /// How clients from outside get to a backend that is on another node, unless their Service
    /// says so itself (annotation `weiche.dev/forwarding`, with the same words). With
    /// `externalTrafficPolicy: Local`, they never do.
    #[arg(
        long,
        value_name = "HOW",
        default_value = "snat",
        help_heading = "Interfaces"
    )]
    forwarding: Forwarding,

    #[command(flatten)]
    pins: PinDir,
    #[command(flatten)]
    state: StateDir,
    /// This node's name [default: the host's name].
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: Option<String>,
    /// Where Cluster-IPs come from: one CIDR, or one of each family, comma-separated; a Service
    /// without wishes gets the first one's family [default: `10.96.0.0/12,fd00:10:96::/112`].
    #[arg(long = "service-cidr", value_name = "CIDR", value_delimiter = ',',
        value_parser = parse_cidr)]
    service_cidrs: Vec<IpNet>,
    /// Serve `spec.externalIPs`. Whoever may write a Service can then take any address
    /// (CVE-2020-8554).
    #[arg(long)]
    external_ips: bool,
    /// File of 16 random bytes, the same on all nodes of a cluster: with it, no client can choose
    /// its backend. Standalone mode makes one in --state-dir.
    #[arg(long, value_name = "FILE")]
    seed_file: Option<PathBuf>,

    #[command(flatten)]
    sizes: SizeArgs,
    #[command(flatten)]
    timeouts: TimeoutArgs,
    #[command(flatten)]
    refusals: RefusalArgs,
    #[command(flatten)]
    servers: ServerArgs,
    #[command(flatten)]
    dns: DnsArgs,
    #[command(flatten)]
    kube_proxy: KubeProxyArgs,
}

/// Probes and metrics, at kube-proxy's addresses.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Probes and metrics (\"\" serves nothing)")]
struct ServerArgs {
    /// Where /healthz, /livez and /readyz are served [default: 0.0.0.0:10256 in cluster mode,
    /// nowhere with --manifests].
    #[arg(long, value_name = "ADDRESS")]
    healthz_bind_address: Option<BindAddress>,
    /// Where /metrics is served [default: 127.0.0.1:10249 in cluster mode, nowhere with
    /// --manifests].
    #[arg(long, value_name = "ADDRESS")]
    metrics_bind_address: Option<BindAddress>,
    /// End when one of these addresses cannot be listened on, instead of trying again.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    bind_address_hard_fail: bool,
}

/// Kernel memory is taken when the agent starts; half a million flows cost some 400 MB.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Sizes (changing one at a restart keeps all flows)")]
struct SizeArgs {
    /// Addresses that clients may dial, and ports of them, of each family; a port that is no
    /// Cluster-IP's takes two.
    #[arg(long, value_name = "N", default_value_t = 24_576)]
    frontends: u32,
    /// Endpoints, of all ports of all Services together.
    #[arg(long, value_name = "N", default_value_t = 131_072)]
    backends: u32,
    /// Chunks of 128 slots; a Service port takes one for each of its backends, rounded up to a
    /// power of two. The default has room for 10,000 ports with 10 backends each, in 33 MB.
    #[arg(long, value_name = "CHUNKS", default_value_t = 86_016)]
    slots: u32,
    /// Tracked connections, of each family [default: 131072].
    #[arg(long, value_name = "N")]
    flows: Option<u32>,
    /// TCP connections before their handshake is complete, and datagrams' flows before the client
    /// has sent again after an answer, of each family.
    #[arg(long, value_name = "N", default_value_t = 32_768)]
    half_open: u32,
    /// Clients that are pinned to a backend by session affinity, of each family and each Service
    /// port.
    #[arg(long, value_name = "N", default_value_t = 65_536)]
    affinity: u32,
}

/// Named as kube-proxy's where kube-proxy has them.
#[derive(Clone, Copy, Debug, Args)]
#[expect(
    clippy::struct_field_names,
    reason = "clap names the flags after the fields"
)]
#[command(next_help_heading = "Time-outs (such as 30s, 10m, 1h30m)")]
pub(super) struct TimeoutArgs {
    /// TCP before the handshake is complete.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    conntrack_tcp_timeout_half_open: Timeout,
    /// TCP that is established, and silent.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    conntrack_tcp_timeout_established: KeptTimeout,
    /// TCP after one side has closed.
    #[arg(long, value_name = "TIME", default_value = "1h")]
    conntrack_tcp_timeout_close_wait: KeptTimeout,
    /// UDP without an answer.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    conntrack_udp_timeout: KeptTimeout,
    /// UDP with answers.
    #[arg(long, value_name = "TIME", default_value = "180s")]
    conntrack_udp_timeout_stream: KeptTimeout,
    /// How long an ended flow's late packets are still translated; less where a table of flows is
    /// more than half full.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    conntrack_tombstone: Timeout,
}

pub(super) fn execute(args: RunArgs) -> anyhow::Result<()> {
    if args.kube_proxy.cleanup {
        return cleanup::kube_proxy(&args.pins.pin_dir, cleanup::When::Unused);
    }
    if args.kube_proxy.init_only {
        return output::text("nothing is to be initialised: `weiche run` does it all");
    }
    Ok(agent::run(&Config::new(args.given()?)?)?)
}

impl RunArgs {
    fn given(self) -> anyhow::Result<Given> {
        let mut given = Given {
            manifests: self.manifests,
            kubeconfig: self.kubeconfig,
            edges: self.edges,
            uplinks: self.uplinks,
            attach: self.attach,
            xdp: self.xdp,
            direct: self.direct_delivery,
            pin_dir: self.pins.pin_dir,
            state_dir: self.state.state_dir,
            node_name: self.node_name,
            service_cidrs: self.service_cidrs,
            rules: Rules {
                external_ips: self.external_ips,
                forwarding: self.forwarding,
                ..Rules::default()
            },
            seed_file: self.seed_file,
            flows: self.sizes.flows,
            sizes: self.sizes.sizes(),
            timeouts: self.timeouts.timeouts(),
            refusals: self.refusals.refusals(),
            servers: self.servers.servers(),
            dns: self.dns.dns(),
            ..Given::default()
        };
        self.kube_proxy.apply(&mut given)?;
        Ok(given)
    }
}

impl ServerArgs {
    fn servers(self) -> GivenServers {
        GivenServers {
            probes: self.healthz_bind_address,
            metrics: self.metrics_bind_address,
            bind: None,
            hard_fail: self.bind_address_hard_fail,
        }
    }
}

impl SizeArgs {
    fn sizes(self) -> Sizes {
        let SizeArgs {
            frontends,
            backends,
            slots,
            half_open,
            affinity,
            ..
        } = self;
        Sizes {
            frontends,
            backends,
            slots,
            half_open,
            affinity,
            ..Sizes::default()
        }
    }
}

impl TimeoutArgs {
    fn timeouts(self) -> Timeouts {
        let mut timeouts = Timeouts {
            half_open_ns: self.conntrack_tcp_timeout_half_open.ns,
            tombstone_ns: self.conntrack_tombstone.ns,
            ..Timeouts::default()
        };
        for (given, ns) in [
            (
                self.conntrack_tcp_timeout_established,
                &mut timeouts.established_ns,
            ),
            (
                self.conntrack_tcp_timeout_close_wait,
                &mut timeouts.close_wait_ns,
            ),
            (self.conntrack_udp_timeout, &mut timeouts.udp_unanswered_ns),
            (
                self.conntrack_udp_timeout_stream,
                &mut timeouts.udp_answered_ns,
            ),
        ] {
            given.replace(ns);
        }
        timeouts
    }
}
