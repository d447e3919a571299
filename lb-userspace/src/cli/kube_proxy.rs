// SPDX-License-Identifier: MIT OR Apache-2.0
//! kube-proxy's flags, as `weiche run` takes them: those that count, and those that are accepted
//! because a command line is to work unchanged.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, error::Error, parser::ValueSource};
use lb_common::wire::Timeouts;
use lb_userspace::config::{
    Given, GivenConntrack, GivenServers, LogFormat, NodePortRange,
    kube_proxy::{File, IGNORED_FLAGS},
};
use std::{net::IpAddr, path::PathBuf};

/// Flags of kube-proxy that count.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "kube-proxy's flags (the others of it are accepted with a warning)")]
pub(super) struct KubeProxyArgs {
    /// kube-proxy's configuration file (`KubeProxyConfiguration`). As there, it is read instead of
    /// the flags that it could replace, --hostname-override, --v and --logging-format excepted.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The API server's URL, in place of the one in --kubeconfig or in the pod's environment.
    #[arg(long, value_name = "URL")]
    master: Option<String>,
    /// The node's name, in lower case; stronger than --node-name.
    #[arg(long, value_name = "NAME")]
    hostname_override: Option<String>,
    /// Which of the node's addresses serve node ports: CIDRs, primary (the Node object's first of
    /// each family) or all. The node's are those of its Node object and of its links, as they come
    /// and go [default: primary].
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    nodeport_addresses: Vec<NodePortRange>,
    /// Its family alone counts, for the usual addresses of probes and metrics.
    #[arg(long, value_name = "ADDRESS")]
    bind_address: Option<IpAddr>,
    /// Flows for each processor, 524288 in all at most; --flows is stronger.
    #[arg(long, value_name = "N")]
    conntrack_max_per_core: Option<u32>,
    /// Flows at least; --flows is stronger.
    #[arg(long, value_name = "N")]
    conntrack_min: Option<u32>,
    /// From 4 on, much is logged; `RUST_LOG` is stronger.
    #[arg(short = 'v', long = "v", value_name = "LEVEL")]
    verbosity: Option<u32>,
    /// How the log is written: text, or json.
    #[arg(long, value_name = "FORMAT")]
    logging_format: Option<LogFormat>,
    /// Remove kube-proxy's rules and end: `weiche cleanup --kube-proxy`.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    pub(super) cleanup: bool,
    /// End at once: nothing needs more rights at the start than later.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value_t = false, action = ArgAction::Set)]
    pub(super) init_only: bool,
    #[command(flatten)]
    ignored: Ignored,
}

/// What of kube-proxy's a command line asks for in vain, for one warning.
#[derive(Clone, Debug, Default)]
pub(super) struct Ignored {
    /// Flags that say nothing here, and why.
    flags: Vec<(&'static str, &'static str)>,
    /// Flags that count, but not beside --config.
    replaced: Vec<&'static str>,
}

/// Flags whose values the file replaces.
const REPLACED: &[&str] = &[
    "kubeconfig",
    "nodeport_addresses",
    "bind_address",
    "bind_address_hard_fail",
    "healthz_bind_address",
    "metrics_bind_address",
    "conntrack_max_per_core",
    "conntrack_min",
    "conntrack_tcp_timeout_established",
    "conntrack_tcp_timeout_close_wait",
    "conntrack_udp_timeout",
    "conntrack_udp_timeout_stream",
];

impl KubeProxyArgs {
    /// Puts what was given where it belongs, and the file's settings in place of flags.
    pub(super) fn apply(self, given: &mut Given) -> anyhow::Result<()> {
        given.master = self.master;
        given.hostname_override = self.hostname_override;
        given.verbosity = self.verbosity;
        given.log_format = self.logging_format;
        given.warnings = self.ignored.warnings(self.config.is_some());
        let Some(path) = self.config else {
            given.rules.node_ports = self.nodeport_addresses;
            given.servers.bind = self.bind_address;
            given.conntrack = GivenConntrack {
                max_per_core: self.conntrack_max_per_core,
                min: self.conntrack_min,
            };
            return Ok(());
        };
        given.kubeconfig = None;
        given.servers = GivenServers::default();
        let usual = Timeouts::default();
        given.timeouts = Timeouts {
            // kube-proxy has none of these two.
            half_open_ns: given.timeouts.half_open_ns,
            tombstone_ns: given.timeouts.tombstone_ns,
            ..usual
        };
        let file = File::read(&path)?;
        file.apply(given)?;
        given.warnings.extend(file.warning());
        Ok(())
    }
}

impl Ignored {
    fn warnings(self, is_file_given: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.flags.is_empty() {
            let flags = self
                .flags
                .iter()
                .map(|(name, note)| format!("--{name} ({note})"));
            let flags = flags.collect::<Vec<_>>().join(", ");
            warnings.push(format!("flags of kube-proxy that are ignored: {flags}"));
        }
        if is_file_given && !self.replaced.is_empty() {
            let flags = self
                .replaced
                .iter()
                .map(|name| format!("--{}", name.replace('_', "-")));
            let flags = flags.collect::<Vec<_>>().join(", ");
            warnings.push(format!(
                "flags that are ignored because --config is given, as kube-proxy does: {flags}"
            ));
        }
        warnings
    }
}

impl clap::FromArgMatches for Ignored {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let was_given = |name: &str| {
            matches.try_contains_id(name).unwrap_or(false)
                && matches.value_source(name) == Some(ValueSource::CommandLine)
        };
        let flags = IGNORED_FLAGS.iter().filter(|flag| was_given(flag.name));
        Ok(Self {
            flags: flags.map(|flag| (flag.name, flag.note)).collect(),
            replaced: REPLACED
                .iter()
                .copied()
                .filter(|name| was_given(name))
                .collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Ignored {
    fn augment_args(command: Command) -> Command {
        IGNORED_FLAGS.iter().fold(command, |command, flag| {
            let arg = Arg::new(flag.name).long(flag.name).hide(true);
            command.arg(if flag.is_switch {
                // `--switch`, and `--switch=true` as Go writes it.
                arg.num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
            } else {
                arg.num_args(1).allow_hyphen_values(true)
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
