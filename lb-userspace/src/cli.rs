// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: what can be asked for, and what each command prints. Decides nothing else.

mod cleanup;
mod flow;
mod output;
mod run;
mod service;
mod status;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Makes Kubernetes Services work inside the Linux kernel.
///
/// `weiche run` is the node's agent. All other commands read what it has pinned and written, so
/// they work while no agent lives.
#[derive(Debug, Parser)]
#[command(
    name = "weiche",
    version,
    after_long_help = "Exit codes: 0 done, 1 failed, 2 wrong usage.\n\n\
        Examples:\n  \
        weiche run --manifests /etc/weiche/manifests\n  \
        weiche run --kubeconfig /etc/kubernetes/weiche.conf --seed-file /etc/weiche/seed\n  \
        weiche service list\n  \
        weiche flow list --service default/web -o json\n  \
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
    /// The agent's state, its edges and problems.
    Status(status::StatusArgs),
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

/// Where state is kept over restarts.
#[derive(Clone, Debug, Args)]
struct StateDir {
    /// Folder for status.json, given Cluster-IPs and a generated seed.
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
            Command::Status(args) => status::execute(&args),
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
            ("run --service-cidr 10.96.0.0", "10.96.0.0"),
            ("run --attach xdp", "auto, tcx, clsact"),
            ("run --flows many", "--flows"),
            ("service get", "<SERVICE>"),
            ("status -o yaml", "table, json"),
        ] {
            let arguments = std::iter::once("weiche").chain(arguments.split(' '));
            let error = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
