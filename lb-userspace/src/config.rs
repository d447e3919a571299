// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of `weiche run`: parsed once, checked together, printed at start. Knows no kernel.

mod access;
mod as_given;
mod edges;
mod duration;
mod seed;
mod servers;
pub mod dns;
mod cidrs;
mod conntrack;
mod node_ports;
mod log_format;
pub mod kube_proxy;

pub use access::Access;
pub use cidrs::{BadCidr, parse_cidr};
pub use conntrack::GivenConntrack;
use dns::Dns;
pub use duration::{BadDuration, KeptTimeout, Timeout};
pub use log_format::{BadLogFormat, LogFormat};
pub use node_ports::{BadNodePortRange, NodePortRange};
pub use seed::{Seed, SeedError, SeedKind};
pub use servers::{BadBindAddress, BindAddress, GivenServers, Servers};

use crate::{
    datapath::{
        AttachMode, Sizes,
        early::XdpWish,
        edges::{Glob, Globs},
    },
    delivery,
    plan::Rules,
};
use ipnet::IpNet;
use lb_common::wire::{Node, Refusals, Slot, Timeouts};
use std::path::PathBuf;

/// Every setting of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where objects come from.
    pub source: Source,
    /// Which interfaces carry our programs.
    pub globs: Globs,
    /// How programs are attached.
    pub attach: AttachMode,
    /// Whether uplinks have XDP.
    pub xdp: XdpWish,
    /// Where things are pinned.
    pub pin_dir: PathBuf,
    /// Where state is kept over restarts.
    pub state_dir: PathBuf,
    /// This node's name.
    pub node_name: String,
    /// Where Cluster-IPs come from.
    pub service_cidrs: Vec<IpNet>,
    /// What holds for all Services.
    pub rules: Rules,
    /// `--seed-file`.
    pub seed_file: Option<PathBuf>,
    /// Sizes of the maps.
    pub sizes: Sizes,
    /// How long flows may be silent.
    pub timeouts: Timeouts,
    /// What becomes of packets that no backend gets.
    pub refusals: Refusals,
    /// Whether packets may pass the host's stack by.
    pub direct: delivery::Mode,
    /// Whether nobody else uses the ranges of Services' addresses.
    pub owns_cidrs: bool,
    /// Probes and metrics.
    pub servers: Servers,
    /// The DNS server.
    pub dns: Dns,
    /// kube-proxy's level of its log.
    pub verbosity: u32,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What was given in vain, to be said at the start.
    pub warnings: Vec<String>,
}

/// Where objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Folders of manifests.
    Manifests(Vec<PathBuf>),
    /// An API server.
    Cluster(Access),
}

/// What `weiche run` was given, before it is checked.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `--manifests`.
    pub manifests: Vec<PathBuf>,
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--master`.
    pub master: Option<String>,
    /// `--edge`.
    pub edges: Vec<Glob>,
    /// `--uplink`.
    pub uplinks: Vec<Glob>,
    /// `--attach`.
    pub attach: AttachMode,
    /// `--xdp`.
    pub xdp: XdpWish,
    /// `--pin-dir`.
    pub pin_dir: PathBuf,
    /// `--state-dir`.
    pub state_dir: PathBuf,
    /// `--node-name`.
    pub node_name: Option<String>,
    /// `--hostname-override`.
    pub hostname_override: Option<String>,
    /// `--service-cidr`.
    pub service_cidrs: Vec<IpNet>,
    /// `--nodeport-addresses`, `--external-ips` and `--forwarding`.
    pub rules: Rules,
    /// `--seed-file`.
    pub seed_file: Option<PathBuf>,
    /// The sizes, without that of the flows.
    pub sizes: Sizes,
    /// `--flows`.
    pub flows: Option<u32>,
    /// Where there is none.
    pub conntrack: GivenConntrack,
    /// The time-outs.
    pub timeouts: Timeouts,
    /// What becomes of packets that no backend gets.
    pub refusals: Refusals,
    /// `--direct-delivery`.
    pub direct: delivery::Mode,
    /// Probes and metrics.
    pub servers: GivenServers,
    /// The DNS server.
    pub dns: Dns,
    /// `--v`.
    pub verbosity: Option<u32>,
    /// `--logging-format`.
    pub log_format: Option<LogFormat>,
    /// What was given in vain.
    pub warnings: Vec<String>,
}

/// Settings contradict each other, or cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// Two sources.
    #[error(
        "--manifests (standalone mode) and --kubeconfig (cluster mode) exclude each other: \
         give one of them"
    )]
    TwoSources,
    /// A URL without an API server.
    #[error("--master is of no use with --manifests (standalone mode): leave one of them out")]
    NoMaster,
    /// Not a URL.
    #[error("--master {0} is no URL of an API server; write one such as https://203.0.113.1:6443")]
    Master(String),
    /// Blanks.
    #[error("--hostname-override is empty; give the node's name, or leave the flag out")]
    NoName,
    /// Addresses that others use.
    #[error(
        "--service-cidr {cidr} covers {what}, where no Service can be; give a range that nothing \
         else uses, such as 10.96.0.0/12 or fd00:10:96::/112"
    )]
    Foreign {
        /// The range.
        cidr: IpNet,
        /// What is in it.
        what: &'static str,
    },
    /// More than one CIDR of a family.
    #[error(
        "--service-cidr {0} and {1} are of the same family; give at most one of IPv4 and one of IPv6"
    )]
    SameFamily(IpNet, IpNet),
    /// A path that depends on where the agent was started.
    #[error("{flag} {path} is relative; give an absolute path")]
    Relative {
        /// The flag.
        flag: &'static str,
        /// Its value.
        path: String,
    },
    /// A map without room, or with more than we can count.
    #[error("--{flag} {value} is not from {smallest} to {largest}")]
    Size {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: u32,
        /// What works.
        smallest: u32,
        /// What works as well.
        largest: u32,
    },
    /// A time-out of a flow that has seen more is shorter.
    #[error("{shorter} must not be shorter than {longer}")]
    Order {
        /// The flag whose value is too short.
        shorter: &'static str,
        /// The flag that it must not be below.
        longer: &'static str,
    },
}

impl Config {
    /// Fills in what was not given, and checks.
    pub fn new(given: Given) -> Result<Self, BadConfig> {
        check_paths(&given)?;
        check_timeouts(&given.timeouts)?;
        let servers = given.servers.resolve(given.manifests.is_empty());
        let sizes = Sizes {
            flows: given.flows.unwrap_or_else(|| given.conntrack.flows()),
            ..given.sizes
        };
        check_sizes(&sizes)?;
        let access = Access {
            kubeconfig: given.kubeconfig,
            master: given.master,
        };
        let source = source(given.manifests, access)?;
        // A cluster has ranges of its own, and what is usual need not be them.
        let owns_cidrs = !given.service_cidrs.is_empty() || matches!(source, Source::Manifests(_));
        let service_cidrs = cidrs::check(given.service_cidrs)?;
        let override_name = given.hostname_override.as_deref();
        let node_name = match override_name.map(str::trim) {
            // As kube-proxy does.
            Some("") => return Err(BadConfig::NoName),
            Some(name) => name.to_lowercase(),
            None => given.node_name.unwrap_or_else(host_name),
        };
        let edges = if given.edges.is_empty() {
            edges::usual()
        } else {
            given.edges
        };
        Ok(Self {
            source,
            servers,
            dns: given.dns,
            verbosity: given.verbosity.unwrap_or(0),
            log_format: given.log_format.unwrap_or_default(),
            warnings: given.warnings,
            globs: Globs {
                edges,
                uplinks: given.uplinks,
            },
            attach: given.attach,
            xdp: given.xdp,
            pin_dir: given.pin_dir,
            state_dir: given.state_dir,
            node_name,
            service_cidrs,
            rules: given.rules,
            seed_file: given.seed_file,
            sizes,
            timeouts: given.timeouts,
            refusals: given.refusals,
            direct: given.direct,
            owns_cidrs,
        })
    }

    /// The settings that the packet path reads.
    pub fn node(&self, seed: &Seed) -> Node {
        Node {
            seed: seed.words,
            timeouts: self.timeouts,
            refusals: self.refusals,
            direct_until_ns: self.direct.until_ns(),
            ..Node::default()
        }
    }
}

fn source(manifests: Vec<PathBuf>, access: Access) -> Result<Source, BadConfig> {
    if let Some(url) = &access.master {
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        // The rest is judged by the client, which knows what it can dial.
        if rest.is_none_or(str::is_empty) {
            return Err(BadConfig::Master(url.clone()));
        }
    }
    match (manifests.is_empty(), &access) {
        (true, _) => Ok(Source::Cluster(access)),
        (
            false,
            Access {
                kubeconfig: Some(_),
                ..
            },
        ) => Err(BadConfig::TwoSources),
        (
            false,
            Access {
                master: Some(_), ..
            },
        ) => Err(BadConfig::NoMaster),
        (false, _) => Ok(Source::Manifests(manifests)),
    }
}

fn check_paths(given: &Given) -> Result<(), BadConfig> {
    for (flag, path) in [
        ("--pin-dir", &given.pin_dir),
        ("--state-dir", &given.state_dir),
    ] {
        if !path.is_absolute() {
            let path = path.display().to_string();
            return Err(BadConfig::Relative { flag, path });
        }
    }
    Ok(())
}

fn check_sizes(sizes: &Sizes) -> Result<(), BadConfig> {
    for (flag, value, smallest, largest) in [
        ("frontends", sizes.frontends, 1, u32::MAX),
        // Id 0 is never given out.
        ("backends", sizes.backends, 2, Slot::IDS),
        ("slots", sizes.slots, 1, u32::MAX),
        ("flows", sizes.flows, 1, u32::MAX),
        ("half-open", sizes.half_open, 1, u32::MAX),
        ("affinity", sizes.affinity, 1, u32::MAX),
    ] {
        if !(smallest..=largest).contains(&value) {
            return Err(BadConfig::Size {
                flag,
                value,
                smallest,
                largest,
            });
        }
    }
    Ok(())
}

fn check_timeouts(timeouts: &Timeouts) -> Result<(), BadConfig> {
    if timeouts.udp_answered_ns < timeouts.udp_unanswered_ns {
        return Err(BadConfig::Order {
            shorter: "--conntrack-udp-timeout-stream",
            longer: "--conntrack-udp-timeout",
        });
    }
    Ok(())
}

/// What the kubelet calls a node by default: the host's name in lower case.
fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase()
}

#[cfg(test)]
mod tests;
