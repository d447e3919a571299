// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the agent says about itself: probes and metrics over HTTP, and `status.json` in the state
//! folder, rewritten when something changes, so that `weiche status` works while no agent lives.
//! Holds no secrets.

pub mod health;
pub mod metrics;
pub mod pressure;
pub mod server;
pub mod balancers;

use crate::{
    config::SeedKind,
    datapath::edges::EdgeState,
    delivery, dns,
    model::Forwarding,
    observe::pressure::Pressed,
    plan::Exposed,
    reconcile::{Failure, Noted, Probe, Report},
    takeover::Progress,
    watch,
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

/// The agent's state at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of the agent.
    pub version: String,
    /// `standalone` or `cluster`.
    pub mode: String,
    /// The agent's process.
    pub pid: u32,
    /// When it started, in seconds since 1970.
    pub started_s: u64,
    /// How often an agent has started with this state folder, this time included.
    #[serde(default)]
    pub starts: u64,
    /// This node's name.
    pub node_name: String,
    /// Where things are pinned.
    pub pin_dir: PathBuf,
    /// How well the seed is kept from clients.
    pub seed: SeedKind,
    /// The source of objects.
    pub watch: watch::status::Status,
    /// The way into the maps.
    pub sync: Sync,
    /// The interfaces that carry our programs, or should.
    pub edges: Vec<EdgeState>,
    /// Whether packets pass the host's stack by.
    #[serde(default)]
    pub direct: delivery::State,
    /// How clients from outside get to backends of other nodes, unless their Service says it.
    #[serde(default)]
    pub forwarding: Forwarding,
    /// What is left to netfilter while we take over from a kube-proxy.
    #[serde(default)]
    pub takeover: Progress,
    /// The DNS server; none: it is not asked for.
    #[serde(default)]
    pub dns: Option<dns::server::State>,
    /// What comparing others' answers with the kernel's has come to; none: it is not asked for.
    #[serde(default)]
    pub shadow: Option<dns::shadow::Tally>,
    /// Maps that are nearly full.
    #[serde(default)]
    pub pressed: Vec<Pressed>,
}

/// How far the maps are what they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// Whether every kind has been listed once; before, nothing is written.
    pub listed: bool,
    /// Services that have something to be programmed.
    pub services_desired: usize,
    /// Of those: whose maps are as they should be.
    pub services_programmed: usize,
    /// Services that wait for a write, or for room.
    pub pending: usize,
    /// What objects get wrong; not all of them when there are very many.
    pub problems: Vec<ObjectProblem>,
    /// How many there are.
    pub problem_count: usize,
    /// Frontends that are no Cluster-IPs; not all of them when there are very many.
    pub exposed: Vec<Exposed>,
    /// What load balancers may ask this node about Services.
    pub probes: Vec<Probe>,
    /// The addresses of this node's Node object.
    #[serde(default)]
    pub node_addresses: Vec<IpAddr>,
    /// Writes that failed and are tried again; not all of them when there are very many.
    pub failures: Vec<String>,
    /// When the maps were last compared and written, in seconds since 1970; 0 = not yet.
    pub last_s: u64,
}

/// A part of an object that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectProblem {
    /// As people name it: `Service default/web`.
    pub object: String,
    /// What is left out, and why.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
    /// Since when, in seconds since 1970.
    pub since_s: u64,
}

impl From<&Noted> for ObjectProblem {
    fn from(noted: &Noted) -> Self {
        let Noted { problem, since_s } = noted;
        Self {
            object: problem.object.to_string(),
            reason: problem.fault.to_string(),
            remedy: problem.fault.remedy().to_owned(),
            since_s: *since_s,
        }
    }
}

impl ObjectProblem {
    /// One line for people.
    pub fn line(&self, now_s: u64) -> String {
        let Self {
            object,
            reason,
            remedy,
            since_s,
        } = self;
        let ago = now_s.saturating_sub(*since_s);
        format!("{object}: {reason}; {remedy} (for {ago} s)")
    }
}

impl From<&Report> for Sync {
    fn from(report: &Report) -> Self {
        let failure = |failure: &Failure| {
            let Failure {
                about,
                reason,
                attempts,
            } = failure;
            format!("{about}: {reason} (tried {attempts} times)")
        };
        Self {
            listed: report.listed,
            services_desired: report.services_desired,
            services_programmed: report.services_programmed,
            pending: report.pending,
            problems: report.problems.iter().map(ObjectProblem::from).collect(),
            problem_count: report.problem_count,
            exposed: report.exposed.to_vec(),
            probes: report.probes.clone(),
            node_addresses: report.node_addresses.clone(),
            failures: report.failures.iter().map(failure).collect(),
            last_s: report.last_sync_ns / 1_000_000_000,
        }
    }
}

/// `status.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Not readable.
    #[error("reading {path}: has `weiche run` (with the same --state-dir) run on this node?")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Not what this version writes.
    #[error(
        "{path} is damaged or of another version of weiche; the agent rewrites it when it starts"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: serde_json::Error,
    },
    /// Not writable.
    #[error("writing {path}: give a writable --state-dir")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

impl Status {
    /// The last state that an agent wrote.
    pub fn read(state_dir: &Path) -> Result<Self, StatusError> {
        let path = path(state_dir);
        let text = fs::read(&path);
        let text = text.map_err(|cause| StatusError::Read {
            path: path.clone(),
            cause,
        })?;
        serde_json::from_slice(&text).map_err(|cause| StatusError::Format { path, cause })
    }

    /// Replaces the file in one step.
    pub fn write(&self, state_dir: &Path) -> Result<(), StatusError> {
        let path = path(state_dir);
        let failed = |cause| StatusError::Write {
            path: path.clone(),
            cause,
        };
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        let new = state_dir.join("status.json.new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(failed)
    }

    /// Whether the agent that wrote this still lives.
    pub fn alive(&self) -> bool {
        // A number may have been given to another process since; one that has ended and that
        // nobody has waited for has no command line.
        let of_process = |what| fs::read(format!("/proc/{}/{what}", self.pid)).unwrap_or_default();
        let line = of_process("cmdline");
        let mut words = line.split(|byte| *byte == 0);
        of_process("comm").trim_ascii() == b"weiche" && words.any(|word| word == b"run")
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("status.json")
}
