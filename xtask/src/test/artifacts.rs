// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds all test binaries and learns from cargo where they are.

use super::{Manner, suites::UNIT};
use crate::{coverage, process, toolchain};
use serde_json::Value;
use std::{path::PathBuf, process::Stdio};

/// A test binary.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Binary {
    /// The suite that it belongs to.
    pub(super) suite: String,
    /// The crate or test target that it was made of.
    pub(super) target: String,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// Builds the tests, and the programs that the tests start.
pub(super) fn build(manner: Manner) -> anyhow::Result<Vec<Binary>> {
    let mut cargo = toolchain::cargo("build");
    cargo.args(["--all-targets", "--message-format=json-render-diagnostics"]);
    if manner.instrumented {
        coverage::instrument(&mut cargo);
    }
    cargo.stderr(Stdio::inherit());
    let messages = process::output(&mut cargo)?;
    Ok(messages.lines().filter_map(binary).collect())
}

/// The test binary that one of cargo's messages speaks of.
fn binary(message: &str) -> Option<Binary> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let path = PathBuf::from(message["executable"].as_str()?);
    let target = message["target"]["name"].as_str()?.to_owned();
    let is_suite = message["target"]["kind"][0] == "test" && is_of_tests(&message);
    let suite = if is_suite {
        target.clone()
    } else {
        UNIT.to_owned()
    };
    Some(Binary {
        suite,
        target,
        path,
    })
}

/// Whether the artifact is of the package `tests`, not of a crate's own `tests` folder.
fn is_of_tests(message: &Value) -> bool {
    let manifest = message["manifest_path"].as_str().unwrap_or_default();
    manifest.ends_with("/tests/Cargo.toml")
}

#[cfg(test)]
mod tests {
    use super::{Binary, binary};

    const UNIT: &str = r#"{"reason":"compiler-artifact","manifest_path":"/w/lb-common/Cargo.toml",
        "target":{"kind":["lib"],"name":"lb_common"},"profile":{"test":true},"executable":"/t/a"}"#;
    const SUITE: &str = r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml",
        "target":{"kind":["test"],"name":"node"},"profile":{"test":true},"executable":"/t/b"}"#;
    const LIBRARY: &str = r#"{"reason":"compiler-artifact","manifest_path":"/w/tests/Cargo.toml",
        "target":{"kind":["lib"],"name":"x"},"profile":{"test":false},"executable":null}"#;

    #[test]
    fn cargo_says_where_the_tests_are() {
        let found = |suite: &str, target: &str, path: &str| {
            Some(Binary {
                suite: suite.into(),
                target: target.into(),
                path: path.into(),
            })
        };
        assert_eq!(binary(UNIT), found("unit", "lb_common", "/t/a"));
        assert_eq!(binary(SUITE), found("node", "node", "/t/b"));
        assert_eq!(binary(LIBRARY), None);
        assert_eq!(binary("not JSON"), None);
    }
}
