// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names of the last complete list, kept for the next agent: it answers from them until it has
//! a list of its own.

use super::zone::Listed;
use crate::bounded;
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

const FILE: &str = "names.json";
/// Far more than the largest cluster has.
const LONGEST: u64 = 256 * 1024 * 1024;

/// What is in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The cluster's domain.
    pub domain: String,
    /// Its names.
    pub names: Vec<Listed>,
}

impl Kept {
    /// What the last agent has left.
    pub fn read(state_dir: &Path) -> io::Result<Self> {
        let text = bounded::read_regular_text(&state_dir.join(FILE), LONGEST)?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Replaces the file in one step.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        let new = state_dir.join(format!("{FILE}.new"));
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(&new, state_dir.join(FILE))
    }
}
