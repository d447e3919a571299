// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals that ask the demo to end.

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};

/// Catches them from its making on.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    pub(crate) fn catch() -> anyhow::Result<Self> {
        let catch = |kind| unix::signal(kind).context("catching signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _caught = self.interrupt.recv() => Signal::INT,
            _caught = self.terminate.recv() => Signal::TERM,
            _caught = self.hang_up.recv() => Signal::HUP,
        }
    }
}
