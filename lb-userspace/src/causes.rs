// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors as people read them in a log or a status.

use std::error::Error;

/// An error with all that caused it, in one line. A cause that the line ends with already, since
/// the error before has told it, is not said twice.
pub fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !line.ends_with(&said) {
            line.push_str(": ");
            line.push_str(&said);
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn nothing_is_said_twice() {
        let told = anyhow!("no such file").context("reading x: no such file");
        assert_eq!(
            with_causes(&*told.context("starting")),
            "starting: reading x: no such file"
        );
        let untold = anyhow!("no such file").context("reading x");
        assert_eq!(with_causes(&*untold), "reading x: no such file");
    }
}
