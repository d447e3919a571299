// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of `weiche run`: parsed once, checked together, printed at start. Knows no kernel.

mod duration;
mod seed;

pub use duration::{BadDuration, Timeout};
pub use seed::{Seed, SeedError, SeedKind};

use crate::datapath::{
    AttachMode, Sizes,
    edges::{Glob, Globs},
};
use ipnet::IpNet;
use lb_common::wire::{Node, Timeouts};
use std::{fmt, net::IpAddr, path::PathBuf};

/// Interfaces that the usual network plug-ins give to pods: bridge, ptp and flannel (`veth*`),
/// Calico (`cali*`), Cilium (`lxc*`), AWS (`eni*`), Azure (`azv*`), GKE (`gke*`).
const EDGES: [&str; 6] = ["veth*", "cali*", "lxc*", "eni*", "azv*", "gke*"];

/// Every setting of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where objects come from.
    pub source: Source,
    /// Which interfaces carry our programs.
    pub globs: Globs,
    /// How programs are attached.
    pub attach: AttachMode,
    /// Where things are pinned.
    pub pin_dir: PathBuf,
    /// Where state is kept over restarts.
    pub state_dir: PathBuf,
    /// This node's name.
    pub node_name: String,
    /// Where Cluster-IPs come from.
    pub service_cidrs: Vec<IpNet>,
    /// `--seed-file`.
    pub seed_file: Option<PathBuf>,
    /// Sizes of the maps.
    pub sizes: Sizes,
    /// How long flows may be silent.
    pub timeouts: Timeouts,
}

/// Where objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Folders of manifests.
    Manifests(Vec<PathBuf>),
    /// An API server; without a file, the one of the cluster that this process runs in.
    Cluster(Option<PathBuf>),
}

/// What `weiche run` was given, before it is checked.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `--manifests`.
    pub manifests: Vec<PathBuf>,
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--edge`.
    pub edges: Vec<Glob>,
    /// `--uplink`.
    pub uplinks: Vec<Glob>,
    /// `--attach`.
    pub attach: AttachMode,
    /// `--pin-dir`.
    pub pin_dir: PathBuf,
    /// `--state-dir`.
    pub state_dir: PathBuf,
    /// `--node-name`.
    pub node_name: Option<String>,
    /// `--service-cidr`.
    pub service_cidrs: Vec<IpNet>,
    /// `--seed-file`.
    pub seed_file: Option<PathBuf>,
    /// The sizes.
    pub sizes: Sizes,
    /// The time-outs.
    pub timeouts: Timeouts,
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
    /// A map without room.
    #[error("--{flag} {value} is too small; the smallest is {smallest}")]
    Small {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: u32,
        /// What works.
        smallest: u32,
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
        check_sizes(&given.sizes)?;
        check_timeouts(&given.timeouts)?;
        let source = match (given.manifests.is_empty(), given.kubeconfig) {
            (false, Some(_)) => return Err(BadConfig::TwoSources),
            (false, None) => Source::Manifests(given.manifests),
            (true, file) => Source::Cluster(file),
        };
        let mut cidrs = given.service_cidrs.into_iter().map(|cidr| cidr.trunc());
        let service_cidrs = match (cidrs.next(), cidrs.next(), cidrs.next()) {
            (None, ..) => default_cidrs(),
            (Some(one), None, _) => vec![one],
            (Some(one), Some(other), None) if is_v4(&one) != is_v4(&other) => vec![one, other],
            (Some(one), Some(other), None) => return Err(BadConfig::SameFamily(one, other)),
            // Of three, two are of one family.
            (Some(one), Some(other), Some(third)) => {
                let twin = if is_v4(&one) == is_v4(&other) {
                    one
                } else {
                    third
                };
                return Err(BadConfig::SameFamily(other, twin));
            }
        };
        let edges = if given.edges.is_empty() {
            default_edges()
        } else {
            given.edges
        };
        Ok(Self {
            source,
            globs: Globs {
                edges,
                uplinks: given.uplinks,
            },
            attach: given.attach,
            pin_dir: given.pin_dir,
            state_dir: given.state_dir,
            node_name: given.node_name.unwrap_or_else(host_name),
            service_cidrs,
            seed_file: given.seed_file,
            sizes: given.sizes,
            timeouts: given.timeouts,
        })
    }

    /// The settings that the packet path reads.
    pub fn node(&self, seed: &Seed) -> Node {
        Node {
            seed: seed.words,
            timeouts: self.timeouts,
            ..Node::default()
        }
    }
}

/// One line for the log; the seed is no part of it.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Manifests(folders) => write!(f, "standalone, manifests {folders:?}")?,
            Source::Cluster(Some(file)) => write!(f, "cluster by {}", file.display())?,
            Source::Cluster(None) => f.write_str("cluster, in a pod")?,
        }
        let edges = join(&self.globs.edges);
        let uplinks = match join(&self.globs.uplinks) {
            empty if empty.is_empty() => "with a default route".to_owned(),
            globs => globs,
        };
        let Sizes {
            frontends,
            backends,
            slots,
            flows,
            half_open,
        } = self.sizes;
        write!(
            f,
            "; node {}; edges {edges}; uplinks {uplinks}; attach {:?}; pins {}; state {}; \
             service CIDRs {}; sizes: frontends {frontends}, backends {backends}, slots {slots}, \
             flows {flows}, half-open {half_open}; time-outs: {}",
            self.node_name,
            self.attach,
            self.pin_dir.display(),
            self.state_dir.display(),
            join(&self.service_cidrs),
            duration::describe(&self.timeouts),
        )
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
    for (flag, value, smallest) in [
        ("frontends", sizes.frontends, 1),
        // Id 0 is never given out.
        ("backends", sizes.backends, 2),
        ("slots", sizes.slots, 1),
        ("flows", sizes.flows, 1),
        ("half-open", sizes.half_open, 1),
    ] {
        if value < smallest {
            return Err(BadConfig::Small {
                flag,
                value,
                smallest,
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

fn default_edges() -> Vec<Glob> {
    EDGES.iter().filter_map(|text| text.parse().ok()).collect()
}

/// What kubeadm gives to Services, and the same for IPv6.
fn default_cidrs() -> Vec<IpNet> {
    ["10.96.0.0/12", "fd00:10:96::/112"]
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

fn is_v4(cidr: &IpNet) -> bool {
    matches!(cidr.addr(), IpAddr::V4(_))
}

/// What the kubelet calls a node by default: the host's name in lower case.
fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase()
}

fn join<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
