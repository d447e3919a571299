// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who gets an address that several Services ask for: the oldest, then the first by name; but
//! whoever was given it as its Cluster-IP comes before whoever only says that it has it.
//!
//! A function of the claims to one frontend. All nodes see the same ages, so all decide alike,
//! whatever they saw first.

use crate::model::Name;

/// One Service asks for a frontend. The least of them wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// It is no Cluster-IP: a load balancer's status, external addresses and node ports can be
    /// written by more people than the API server's allocator listens to (CVE-2020-8554).
    pub is_external: bool,
    /// When the Service was made.
    pub created_s: i64,
    /// The Service.
    pub service: Name,
}

/// The Service that gets the frontend; the claims are in order.
pub fn winner(claims: &[Claim]) -> Option<&Name> {
    claims.first().map(|claim| &claim.service)
}
