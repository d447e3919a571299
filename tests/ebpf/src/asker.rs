// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets for a program that changes them: what `asker_program.rs` and the harness agree on.

/// Bytes of a packet at most.
pub const ROOM: usize = 184;

/// A packet in a map: its length, and its bytes with anything behind them.
pub type Prepared = [u64; 1 + ROOM / 8];
