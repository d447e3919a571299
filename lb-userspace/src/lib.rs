// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the cluster's wishes reach the kernel.
//!
//! Modules stand in the order in which a change of a Service meets them:
//! [`watch`] → [`model`] → [`plan`] → [`reconcile`] → [`maps`].

pub mod config;

pub mod agent;

pub mod watch;
pub mod model;
pub mod plan;
pub mod reconcile;
pub mod maps;

pub mod dns;

pub mod netns;
pub mod port_forward;

pub mod datapath;
pub mod delivery;
mod bpf;
pub mod takeover;
pub mod relief;

pub mod leftovers;

pub mod explain;

mod addresses;
pub mod causes;
mod guests;
pub mod bounded;
pub mod yaml;
pub mod clock;
pub mod observe;
