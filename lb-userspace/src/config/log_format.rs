// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the log is written, by kube-proxy's names for it.

use std::str::FromStr;

/// The form of each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// No such form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write text or json")]
pub struct BadLogFormat;

impl FromStr for LogFormat {
    type Err = BadLogFormat;

    fn from_str(text: &str) -> Result<Self, BadLogFormat> {
        match text {
            // In a file, nothing means the default.
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(BadLogFormat),
        }
    }
}
