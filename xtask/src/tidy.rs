// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask tidy`: the project's own rules, as far as text can check them.
//!
//! One rule, one function, and a row in its tests that shows it fail. What the compiler, rustfmt
//! or clippy say already (undocumented items, `unsafe` without SAFETY, `allow` without a reason)
//! is not said again. It knows no syntax tree: text with comments and strings blanked does so far.

mod tree;
mod code;

mod sizes;
mod headers;
mod names;
mod modules;
mod boundaries;
mod wire;
mod remarks;
mod documents;
mod walks;
mod semantics;
mod changelog;

use anyhow::bail;
use std::fmt;
use tree::Tree;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Counted from 1; 0 = the file as a whole.
    line: usize,
    message: String,
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[Rule] = &[
    sizes::functions,
    sizes::files,
    sizes::columns,
    headers::licence,
    headers::purpose,
    names::no_home,
    names::family,
    modules::reachable,
    boundaries::places,
    boundaries::dependencies,
    wire::layout,
    remarks::open_ends,
    remarks::tests_that_do_not_run,
    remarks::white_space,
    documents::paths,
    documents::links,
    walks::order,
    semantics::table,
    changelog::headings,
];

/// Refuses with every place that breaks a rule.
pub(crate) fn run() -> anyhow::Result<()> {
    let tree = Tree::read()?;
    let mut findings: Vec<_> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} places are not tidy", findings.len());
    }
    println!(
        "{} files are tidy ({} rules)",
        tree.files().len(),
        RULES.len()
    );
    Ok(())
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.message),
            line => write!(formatter, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// What a rule says of files that are made up.
#[cfg(test)]
fn check(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
    rule(&Tree::of(files))
        .iter()
        .map(Finding::to_string)
        .collect()
}
