// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people may know of the reconciler's work.

use serde::Serialize;

use crate::plan::Problem;

/// State after a round.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Whether every kind has been listed once; before, nothing is written.
    pub listed: bool,
    /// Services that have something to be programmed.
    pub services_desired: usize,
    /// Of those: whose maps are as they should be.
    pub services_programmed: usize,
    /// Services that wait for a write, or for room.
    pub pending: usize,
    /// What objects get wrong; at most [`Report::LISTED`].
    pub problems: Vec<Problem>,
    /// How many there are.
    pub problem_count: usize,
    /// Writes that failed and are tried again; at most [`Report::LISTED`].
    pub failures: Vec<Failure>,
    /// How many there are.
    pub failure_count: usize,
    /// Backend ids that are left.
    pub backends_free: u32,
    /// Chunks of slots that are left.
    pub chunks_free: u32,
    /// When the last round ended, in seconds since 1970; 0 = never.
    pub last_sync_s: u64,
}

impl Report {
    /// Problems and failures that a report carries.
    pub const LISTED: usize = 1_000;
}

/// A Service, or the agent's own part of the maps, is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// `namespace/name` of the Service, or what else it is.
    pub about: String,
    /// What went wrong, causes included.
    pub reason: String,
    /// How often in a row.
    pub attempts: u32,
}
