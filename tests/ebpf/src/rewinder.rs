// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames for a program at XDP that puts others around them: what `rewinder_program.rs` and the
//! harness agree on.

/// Bytes of a frame, padding included.
pub const ROOM: usize = 80;

/// A frame, in words.
pub type Prepared = [u64; ROOM / 8];
