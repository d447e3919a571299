// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of the system: started, fed, listened to.

use std::{
    io::{self, Write as _},
    process::{Command, Stdio},
};

/// Rules cannot be looked at, or not be removed.
#[derive(Debug, thiserror::Error)]
pub enum LeftoversError {
    /// A program cannot be started.
    #[error("starting {program}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// It has failed.
    #[error("{program} failed: {said}; run this as root, in the host's network namespace")]
    Failed {
        /// The program.
        program: String,
        /// What it said.
        said: String,
    },
}

/// What a program prints; `None` where there is no such program.
pub(super) fn output(program: &str, arguments: &[&str]) -> Result<Option<String>, LeftoversError> {
    match run(program, arguments, "") {
        Err(LeftoversError::Start { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Runs a program with this on its standard input.
pub(super) fn run(
    program: &str,
    arguments: &[&str],
    input: &str,
) -> Result<String, LeftoversError> {
    let start = |cause| LeftoversError::Start {
        program: program.to_owned(),
        cause,
    };
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A broken pipe means that the program gave up; its message says why.
        let _written = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(start)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', "; ");
        return Err(LeftoversError::Failed {
            program: program.to_owned(),
            said,
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
