// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the agent's words go.

use std::io::{self, IsTerminal as _};
use tracing_subscriber::EnvFilter;

/// To standard error; `RUST_LOG` says how much, colours only on a terminal.
pub(super) fn to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours)
        .with_target(false);
    // A caller who has set up another one keeps it.
    let _already_set = subscriber.try_init();
}
