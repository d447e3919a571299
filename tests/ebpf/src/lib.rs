// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests' own BPF programs share with the harness, which loads them.
#![cfg_attr(not(test), no_std)]

pub mod fate;
pub mod source;
