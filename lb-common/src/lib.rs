// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a packet means: the packet path of Weiche and every byte that crosses into a kernel map.
//!
//! The crate compiles into the BPF programs *and* runs on the host, from one source: it reaches
//! packet bytes only through [`packet::Packet`] and maps, clock and settings only through
//! [`tables::Tables`]. It knows no kernel, no allocation, no clock, and has no `unsafe`.
//!
//! Modules stand in the order in which a packet meets them.
#![no_std]
#![forbid(unsafe_code)]
// Each of these leaves a path to a panic, and the verifier refuses a program that has one; but only
// when it is loaded, so the compiler says it here.
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::integer_division_remainder_used,
        clippy::panic,
        clippy::unreachable
    )
)]

pub mod wire;
pub mod family;
pub mod packet;
pub mod tables;
pub mod frame;

pub mod pipeline;

pub mod parse;
pub mod ends;
pub mod conntrack;
pub mod service;
pub mod hash;
pub mod foreign;
pub mod affinity;
pub mod select;
pub mod port;
pub mod csum;
pub mod rewrite;
pub mod sctp;
pub mod related;
pub mod fragment;
pub mod verdict;

pub mod hairpin;
pub mod direct;

pub mod refuse;
pub mod echo;
pub mod account;

pub mod dns;

pub mod admit;
pub mod masquerade;

pub mod delivery;
pub mod tunnel;
pub mod path_mtu;

pub mod expiry;
