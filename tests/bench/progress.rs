// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is being measured, while it is: one line that is written over, on a terminal; lines that
//! stay, elsewhere.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Instant,
};

/// The line.
#[derive(Debug)]
pub(crate) struct Progress {
    begin: Instant,
    is_terminal: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            begin: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Something else is measured from now on.
    pub(crate) fn now(&self, what: &str) {
        let seconds = self.begin.elapsed().as_secs();
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        let line = format!("{minutes}:{seconds:02} {what}");
        let mut stderr = std::io::stderr().lock();
        // Progress that nobody can see is none.
        let _shown = if self.is_terminal {
            write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "{line}")
        };
    }

    /// Nothing is measured any more.
    pub(crate) fn clear(&self) {
        if self.is_terminal {
            let _shown = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
