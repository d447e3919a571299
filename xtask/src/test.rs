// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask test`: builds every test, runs suite by suite, and says what came out.
//!
//! A test that did not run is a failure here: an ignored or filtered one, a suite without tests, a
//! figure that nobody reported.

mod suites;

mod artifacts;
mod runner;
mod summary;
mod figures;

use crate::{process, setup, step};
use anyhow::bail;
use artifacts::Binary;
use std::path::PathBuf;
use suites::Selection;
use summary::Summary;

/// How tests are run.
#[derive(Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a wish of its own, and any may be there with any other"
)]
pub(crate) struct Manner {
    /// With the large size of each figure, and without time limits.
    pub(crate) full: bool,
    /// Rewriting what they compare with.
    pub(crate) bless: bool,
    /// Showing what they print.
    pub(crate) shown: bool,
    /// Counting which branches they take.
    pub(crate) instrumented: bool,
    /// With packets of the node suite past the host's stack, where a test does not say.
    pub(crate) directly: bool,
}

/// Runs all suites, or those in `names`; returns the binaries that it has run.
pub(crate) fn run(manner: Manner, names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let selection = Selection::parse(names)?;
    if selection.is_privileged() {
        process::need_root("test", "some suites make namespaces and load BPF programs")?;
        setup::packages(setup::Use::Test)?;
    }
    setup::tools()?;
    let binaries = step::step("building the tests", || artifacts::build(manner))?;
    suites::all_known(&binaries)?;
    let report = figures::Report::begin()?;
    let mut total = Summary::default();
    let mut failed = Vec::new();
    for chosen in selection.chosen() {
        let watch = step::Stopwatch::start();
        println!("==> suite {}", chosen.suite.name);
        let summary = runner::run(chosen, &binaries, &report, manner);
        let time = step::seconds(watch.elapsed());
        match summary {
            Ok(summary) => {
                println!("==> suite {}: {summary} in {time}", chosen.suite.name);
                total += summary;
            }
            Err(error) => {
                println!(
                    "==> suite {}: FAILED in {time}: {error:#}",
                    chosen.suite.name
                );
                failed.push(chosen.suite.name);
            }
        }
    }
    if let Err(error) = report.end(selection.is_everything()) {
        println!("==> figures: FAILED: {error:#}");
        failed.push("figures");
    }
    if !failed.is_empty() {
        bail!("not passed: {}", failed.join(", "));
    }
    if !selection.is_everything() {
        println!("This was a part of the tests; `cargo xtask test` runs them all.");
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    let is_run = |binary: &Binary| {
        let mut suites = selection.chosen().iter();
        suites.any(|chosen| chosen.suite.name == binary.suite)
    };
    let run = binaries.into_iter().filter(is_run);
    Ok(run.map(|binary| binary.path).collect())
}
