// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether translated packets may pass the host's stack by (`lb_common::delivery`).

use serde::{Deserialize, Serialize};

/// What `--direct-delivery` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Always, whatever in the host's stack is skipped.
    On,
    /// Never.
    #[default]
    Off,
}

impl Mode {
    /// As [`lb_common::wire::Node::direct_until_ns`] says it at a start.
    pub const fn until_ns(self) -> u64 {
        match self {
            Self::On => u64::MAX,
            Self::Off => 0,
        }
    }
}
