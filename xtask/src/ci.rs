// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask ci`: what must pass before a change lands, the quickest first.

use crate::{lint, setup, step, test, tidy, verifier};

/// Stops at the first failure.
pub(crate) fn run() -> anyhow::Result<()> {
    setup::run()?;
    step::step("tidy", tidy::run)?;
    step::step("lint", lint::run)?;
    step::step("verifier", || verifier::run(false))?;
    let directly = test::Manner {
        directly: true,
        ..test::Manner::default()
    };
    step::step("test past the host's stack", || {
        test::run(directly, &["node"]).map(drop)
    })?;
    step::step("test", || test::run(test::Manner::default(), &[]).map(drop))
}
