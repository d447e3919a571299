// SPDX-License-Identifier: MIT OR Apache-2.0
//! Manifests in, map contents out: no kernel, no root. The scripts are described in
//! `tests/harness/script.rs`; the other modules are properties over random worlds.

mod scripts;

mod start;
mod nodes;
mod planning;
mod agreement;
mod prefixes;
mod faults;
mod slices;
mod cost;
mod maglev;
