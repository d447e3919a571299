// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nodes made of network namespaces, with real sockets and real traffic.
//!
//! Needs root, and fails without it. Each test makes a lab of its own and leaves nothing behind.

mod wiring;
mod road;

mod scene;
mod untranslated;

mod cluster_ip;
mod region;
mod north_south;
mod fleet;
mod tunnel;
mod balancers;
mod delivery;
mod passing;
mod hairpin;
mod shared;
mod related;
mod fragments;
mod fragment_orders;
mod unserved;
mod astray;
mod backends;
mod stale;
mod rollout;
mod reuse;
mod affinity;
mod goodput;
mod short_flows;
mod explain;
mod observe;
mod deployed;
mod confined;
mod crowded;
mod leftovers;
mod refused;
mod attach;
mod foreign;
mod restart;
mod takeover;
mod resize;
mod cluster;
mod ledger;
mod probe;
mod attacker;
mod forged;
mod flood;
mod spoofed;
mod churn;
mod soak;
mod bench;
mod names;
mod forwarded;
mod demo;
mod walk;
