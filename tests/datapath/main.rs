// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packet path on the host and in the kernel: rows, and a differential over generated packets.
//! Needs root: the programs are loaded, but attached to nothing but links made for the purpose.

mod play;
mod connection;
mod tear;
mod twin;

mod forward;
mod conntrack;
mod forged;
mod backends;
mod stale;
mod affinity;
mod collisions;
mod direct;
mod directly;
mod hairpin;
mod takeover;
mod parse;
mod sctp;
mod related;
mod fragments;
mod outside;
mod masquerade;
mod relay;
mod tunnel;
mod early;
mod limits;
mod races;
mod refuse;
mod unserved;
mod names;
mod astray;
mod own;
mod timers;
mod verifier;
mod vlan;

mod differential;
mod explain;
mod sabotage;
mod torn_reads;
mod workshop;
