// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: what can be asked for, and what each command prints. Decides nothing else.

mod cleanup;
mod dns;
mod dns_flags;
mod explain;
mod flow;
mod import_config;
mod kube_proxy;
mod output;
mod pods;
mod port_forward;
mod run;
mod refusals;
mod service;
mod status;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Makes Kubernetes Services work inside the Linux kernel.
///
/// `weiche run` is the node's agent. No other command needs it: listings and `explain` read what it
/// has pinned and written, so they work while no agent lives.
#[derive(Debug, Parser)]
#[command(
    name = "weiche",
    version,
    propagate_version = true,
    after_long_help = "Exit codes: 0 done, 1 failed, 2 wrong usage.\n\n\
        Examples:\n  \
        weiche run --manifests /etc/weiche/manifests\n  \
        weiche run --kubeconfig /etc/kubernetes/weiche.conf --seed-file /etc/weiche/seed\n  \
        weiche import-config kube-proxy.yaml\n  \
        weiche service list\n  \
        weiche flow list --service default/web -o json\n  \
        weiche explain 10.1.0.5:40000 10.96.0.10:80/TCP\n  \
        weiche dns query web --server 10.96.0.10\n  \
        weiche status"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run this node's agent in the foreground.
    Run(Box<run::RunArgs>),
    /// Services as the kernel has them.
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Tracked connections.
    #[command(subcommand)]
    Flow(flow::FlowCommand),
    /// What would become of a client's packet now, stage by stage, and why. Changes nothing.
    #[command(after_long_help = "Examples:\n  \
        weiche explain 10.1.0.5:40000 10.96.0.10:80/TCP\n  \
        weiche explain '[fd00:1::5]:40000' '[fd00:96::10]:53/UDP' -o json")]
    Explain(explain::ExplainArgs),
    /// Services' names: what is answered, and what a short name means here.
    #[command(subcommand)]
    Dns(dns::DnsCommand),
    /// Lead local ports to a Pod; follows a Service when the Pod goes away.
    #[command(after_long_help = "Examples:\n  \
        weiche port-forward svc/web 8080:80\n  \
        weiche port-forward -l app=web 48858:8080 --manifests manifests")]
    PortForward(port_forward::PortForwardArgs),
    /// The agent's state, its edges and problems.
    Status(status::StatusArgs),
    /// What kube-proxy's configuration file means here: honoured, changed or ignored, line by line.
    ImportConfig(import_config::ImportConfigArgs),
    /// Take everything of ours off this node: programs, maps, links. Open flows end.
    Cleanup(cleanup::CleanupArgs),
}

/// Where things are pinned.
#[derive(Clone, Debug, Args)]
struct PinDir {
    /// Folder for pinned maps, programs and links; on a BPF file system, or one is mounted there.
    #[arg(
        long,
        value_name = "DIR",
        env = "WEICHE_PIN_DIR",
        default_value = "/sys/fs/bpf/weiche"
    )]
    pin_dir: PathBuf,
}

/// What every listing of pinned maps has.
#[derive(Clone, Debug, Args)]
struct Listing {
    #[command(flatten)]
    pins: PinDir,
    #[command(flatten)]
    output: output::Output,
}

/// Where state is kept over restarts.
#[derive(Clone, Debug, Args)]
struct StateDir {
    /// Folder for status.json, names.json, given Cluster-IPs and a generated seed.
    #[arg(
        long,
        value_name = "DIR",
        env = "WEICHE_STATE_DIR",
        default_value = "/var/lib/weiche"
    )]
    state_dir: PathBuf,
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn execute(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run(args) => run::execute(*args),
            Command::Service(command) => service::execute(&command),
            Command::Flow(command) => flow::execute(&command),
            Command::Explain(args) => explain::execute(&args),
            Command::Dns(command) => dns::execute(&command),
            Command::PortForward(args) => port_forward::execute(args),
            Command::Status(args) => status::execute(&args),
            Command::ImportConfig(args) => import_config::execute(&args),
            Command::Cleanup(args) => cleanup::execute(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_values_are_refused_with_what_would_do() {
        for (arguments, said) in [
            ("run --edge veth[0]", "interface names have no '['"),
            ("run --conntrack-udp-timeout 30", "a number and a unit"),
            ("run --service-cidr 10.96.0.0", "such as 10.96.0.0/12"),
            ("run --edge veth1234567890123", "at most 15 bytes"),
            ("run --healthz-bind-address localhost", "0.0.0.0:10256"),
            ("run --nodeport-addresses eth0", "a CIDR such as"),
            ("run --frobnicate", "--frobnicate"),
            ("run --attach xdp", "auto, tcx, clsact"),
            ("run --flows many", "--flows"),
            ("service get", "<SERVICE>"),
            ("explain 10.1.0.5 10.96.0.1:80/TCP", "10.1.0.5:40000"),
            ("explain 10.1.0.5:1 10.96.0.1:80", "by which protocol"),
            ("explain 10.1.0.5:1", "<ADDRESS:PORT/PROTOCOL>"),
            ("status -o yaml", "table, json"),
            ("dns query web WEB", "such as A, AAAA"),
            ("run --dns-listen 0.0.0.0", "the address that was asked"),
        ] {
            let arguments = std::iter::once("weiche").chain(arguments.split(' '));
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn kube_proxy_s_flags_are_accepted_as_they_are() {
        // All that its releases have had since 1.20, as people write them.
        for arguments in [
            "--config=/c --write-config-to=/w --hostname-override=n --bind-address=0.0.0.0",
            "--cluster-cidr=10.0.0.0/8,fd00::/8 --detect-local-mode=ClusterCIDR",
            "--pod-bridge-interface=br0 --pod-interface-name-prefix=veth",
            "--nodeport-addresses=primary --nodeport-addresses 192.0.2.0/24,fd00::/8",
            "--healthz-bind-address=0.0.0.0:10256 --metrics-bind-address= --kubeconfig=/k",
            "--healthz-port=0 --metrics-port=10249 --bind-address-hard-fail=true",
            "--master=https://203.0.113.1 --kube-api-qps=5 --kube-api-burst=10",
            "--kube-api-content-type=application/vnd.kubernetes.protobuf",
            "--conntrack-max-per-core=32768 --conntrack-min=131072 --conntrack-tcp-be-liberal",
            "--conntrack-tcp-timeout-established=24h0m0s --conntrack-tcp-timeout-close-wait=0s",
            "--conntrack-udp-timeout=0 --conntrack-udp-timeout-stream 1.5m",
            "--masquerade-all --iptables-masquerade-bit=14 --iptables-sync-period=30s",
            "--iptables-min-sync-period 1s --iptables-localhost-nodeports=false",
            "--ipvs-scheduler=rr --ipvs-strict-arp=true --ipvs-exclude-cidrs=10.0.0.0/8",
            "--ipvs-sync-period=30s --ipvs-min-sync-period=0s --ipvs-tcp-timeout=0s",
            "--ipvs-tcpfin-timeout=0s --ipvs-udp-timeout=0s --oom-score-adj=-999",
            "--oom-score-adj -999 --proxy-mode=nftables --feature-gates=A=true,B=false",
            "--sync-period=30s --min-sync-period=1s --config-sync-period=15m0s --profiling=false",
            "--cleanup=false --init-only=false --show-hidden-metrics-for-version=1.36 --v=4",
            "-v=2 --logging-format=text --log-flush-frequency=5s --vmodule=a=1",
        ] {
            let all = ["weiche", "run"].into_iter().chain(arguments.split(' '));
            let parsed = Cli::try_parse_from(all);
            assert!(parsed.is_ok(), "{arguments}: {}", parsed.unwrap_err());
        }
    }
}
