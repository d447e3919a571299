// SPDX-License-Identifier: MIT OR Apache-2.0
//! Named checks with a figure: collected from the suites, shown as a table and kept as JSON.
//!
//! `tests/harness/figures.rs` has the table of what must be reported.

use crate::workspace;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::{fs, path::PathBuf, process::Command};

/// The figures of one run of `cargo xtask test`.
pub(super) struct Report {
    /// One line of JSON for each figure, in the order in which they came.
    lines: PathBuf,
}

impl Report {
    /// Starts with none.
    pub(super) fn begin() -> anyhow::Result<Self> {
        let lines = workspace::target().join("figures.jsonl");
        fs::write(&lines, "").with_context(|| format!("cannot write {}", lines.display()))?;
        Ok(Self { lines })
    }

    /// Tells a suite where to report, and which size is asked for.
    pub(super) fn hand_to(&self, suite: &mut Command, full: bool) {
        suite.env("WEICHE_FIGURES", &self.lines);
        if full {
            suite.env("WEICHE_FULL", "1");
        } else {
            suite.env_remove("WEICHE_FULL");
        }
    }

    /// Shows what was reported, and keeps it; refuses when `all` are due and one is missing.
    pub(super) fn end(&self, all: bool) -> anyhow::Result<()> {
        let reported = fs::read_to_string(&self.lines)?;
        let figures: Vec<Value> = reported
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .with_context(|| format!("{} is not JSON", self.lines.display()))?;
        let kept = self.lines.with_extension("json");
        fs::write(&kept, serde_json::to_string_pretty(&figures)?)?;
        if !figures.is_empty() {
            println!("{}kept in {}", table(&figures), kept.display());
        }
        let declared = fs::read_to_string(workspace::root().join("tests/harness/figures.rs"))?;
        let missing: Vec<_> = names(&declared)
            .filter(|name| !figures.iter().any(|figure| figure["name"] == *name))
            .collect();
        if all && !missing.is_empty() {
            bail!(
                "in tests/harness/figures.rs, but not reported: {}",
                missing.join(", ")
            );
        }
        Ok(())
    }
}

/// The names in the table of `figures.rs`.
fn names(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let (_, name) = line.split_once("name: \"")?;
        name.split('"').next()
    })
}

fn table(figures: &[Value]) -> String {
    let header = ["figure", "size", "seed", "seconds", "result"].map(str::to_owned);
    let mut rows = vec![header];
    rows.extend(figures.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
    let lines = rows.iter().map(|row| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}  "));
        cells
            .chain([
                row[4].clone(),
                "
"
                .to_owned(),
            ])
            .collect::<String>()
    });
    lines.collect()
}

fn row(figure: &Value) -> [String; 5] {
    let results = figure["result"].as_object().into_iter().flatten();
    let results: Vec<_> = results
        .map(|(key, value)| format!("{key} {}", text(value)))
        .collect();
    let [name, size, seed, seconds] =
        ["name", "size", "seed", "seconds"].map(|key| text(&figure[key]));
    [name, size, seed, seconds, results.join(", ")]
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{names, table};
    use serde_json::json;

    #[test]
    fn the_table_has_a_row_for_each_figure() {
        let figure = json!({"name": "maglev", "size": 9, "seed": 1, "seconds": 0.5,
            "result": {"moved": "1 %", "worst": 3}});
        assert_eq!(
            table(&[figure]),
            "figure  size  seed  seconds  result\n\
             maglev  9     1     0.5      moved 1 %, worst 3\n"
        );
    }

    #[test]
    fn declared_names_are_read_from_the_source() {
        let source = "pub name: &'static str,\n    Figure { name: \"maglev\", what: \"\" },\n\
                      Figure {\n    name: \"differential\",\n";
        assert_eq!(
            names(source).collect::<Vec<_>>(),
            ["maglev", "differential"]
        );
    }
}
