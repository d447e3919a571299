// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors as people read them in a log or a status.

use std::error::Error;

/// An error with all that caused it, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
