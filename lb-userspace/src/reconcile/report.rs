// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people may know of the reconciler's work.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    maps::Capacity,
    plan::{Exposed, Problem},
};

/// State after a round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Whether every kind has been listed once; before, nothing is written.
    pub listed: bool,
    /// Services that have something to be programmed.
    pub services_desired: usize,
    /// Of those: whose maps are as they should be.
    pub services_programmed: usize,
    /// Services that wait for a write, or for room.
    pub pending: usize,
    /// Since when the oldest of those that wait for a write does, by
    /// [`crate::clock::monotonic_ns`].
    pub pending_since_ns: Option<u64>,
    /// What objects get wrong; at most [`Report::LISTED`].
    pub problems: Vec<Noted>,
    /// How many there are.
    pub problem_count: usize,
    /// How many there are of each kind, by [`crate::plan::Fault::label`].
    pub problem_kinds: BTreeMap<&'static str, usize>,
    /// Frontends that are no Cluster-IPs; at most [`Report::LISTED`].
    pub exposed: Arc<[Exposed]>,
    /// What load balancers may ask this node; all of them.
    pub probes: Vec<Probe>,
    /// Ports that get no packet through on this node since their endpoints are elsewhere, by
    /// `internalTrafficPolicy` and by `externalTrafficPolicy`; once for each family.
    pub not_local: [usize; 2],
    /// How long after the change that caused it each write of this round was done: what
    /// `network_programming_duration_seconds` observes. A change is known by the slice's annotation
    /// `endpoints.kubernetes.io/last-change-trigger-time`, and each is in one report only. Those
    /// from before the first lists were complete are not among them: they are as old as the agent.
    pub programmed: Vec<Duration>,
    /// Writes that failed and are tried again; at most [`Report::LISTED`].
    pub failures: Vec<Failure>,
    /// How many there are.
    pub failure_count: usize,
    /// Sizes of the maps.
    pub capacity: Capacity,
    /// Frontends that are there, of IPv4 and of IPv6.
    pub frontends: [u32; 2],
    /// Backend ids that are left.
    pub backends_free: u32,
    /// Chunks of slots that are left.
    pub chunks_free: u32,
    /// This node is being deleted, or marked for deletion.
    pub node_leaving: bool,
    /// There is a Node object of this node's name.
    pub node_known: bool,
    /// The addresses of that Node.
    pub node_addresses: Vec<IpAddr>,
    /// Changes of Services that were seen so far, and of slices.
    pub changes: [u64; 2],
    /// When the last change was taken in, in nanoseconds since 1970; 0 = never.
    pub last_queued_ns: u64,
    /// When the last round ended, in nanoseconds since 1970; 0 = never.
    pub last_sync_ns: u64,
    /// How long it took.
    pub took_ns: u64,
}

impl Report {
    /// Problems and failures that a report carries.
    pub const LISTED: usize = 1_000;
}

/// A problem, and since when it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// What is wrong.
    pub problem: Problem,
    /// In seconds since 1970; an agent that starts anew begins anew.
    pub since_s: u64,
}

/// What a load balancer may ask this node about a Service, at its `healthCheckNodePort`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// `namespace/name`.
    pub service: String,
    /// Where it asks.
    pub port: u16,
    /// Endpoints here that are ready; 0 = it shall send nobody.
    pub local_ready: usize,
}

/// A Service, or the agent's own part of the maps, is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `namespace/name` of the Service, or what else it is.
    pub about: String,
    /// What went wrong, causes included.
    pub reason: String,
    /// How often in a row.
    pub attempts: u32,
}
