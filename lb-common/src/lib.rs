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

pub mod family;
pub mod frame;
pub mod packet;
pub mod tables;
pub mod wire;

pub mod pipeline;

pub mod conntrack;
pub mod csum;
pub mod hash;
pub mod parse;
pub mod port;
pub mod rewrite;
pub mod select;
pub mod service;
pub mod verdict;
