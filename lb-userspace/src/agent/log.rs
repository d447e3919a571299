// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the agent's words go.

use crate::config::LogFormat;
use std::io::{self, IsTerminal as _};
use tracing_subscriber::EnvFilter;

/// To standard error; `RUST_LOG` says how much, colours only on a terminal;
/// and where it says nothing, kube-proxy's level of verbosity.
pub(super) fn to_stderr(verbosity: u32, format: LogFormat) {
    // Kubernetes' conventions: from 4 on, it is for debugging.
    let level = if verbosity >= 4 { "debug" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new(level));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours)
        .with_target(false);
    // A caller who has set up another one keeps it.
    let _already_set = match format {
        LogFormat::Text => subscriber.try_init(),
        // What is said is on the top level, where those who gather logs look for it.
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
}
