// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two reports side by side: what became better or worse by more than both runs' noise.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::report::{figure, is_higher_better};

/// By less than this nothing has changed, however narrow the intervals are.
const LEAST: f64 = 0.03;

/// One figure of a report.
#[derive(Clone, Debug)]
struct Figure {
    unit: String,
    value: f64,
    low: f64,
    high: f64,
}

/// A report that was written earlier.
#[derive(Debug)]
pub(crate) struct Old {
    figures: BTreeMap<String, Figure>,
    machine: String,
}

impl Old {
    /// Reads it before anything is measured: a mistyped path should not cost half an hour.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let what = || {
            format!(
                "{}: a report.json of an earlier run is wanted",
                path.display()
            )
        };
        let text = fs::read_to_string(path).with_context(what)?;
        let report: Value = serde_json::from_str(&text).with_context(what)?;
        ensure!(report.get("sections").is_some(), what());
        Ok(Self {
            figures: figures(&report),
            machine: machine(&report),
        })
    }

    /// What there is to say of a new one, line by line.
    pub(crate) fn compare(&self, new: &Value) -> String {
        let mut text = String::new();
        if self.machine != machine(new) {
            line(
                &mut text,
                format_args!("not the same machine: {}", self.machine),
            );
        }
        let (mut same, mut gone) = (0_u32, 0_u32);
        let found = figures(new);
        for (name, old) in &self.figures {
            let Some(new) = found.get(name).filter(|new| new.unit == old.unit) else {
                gone += 1;
                continue;
            };
            match change(old, new) {
                None => same += 1,
                Some(word) => line(
                    &mut text,
                    format_args!(
                        "{word}: {name}: {} to {} {} ({:+.1} %)",
                        figure(old.value),
                        figure(new.value),
                        new.unit,
                        100.0 * (new.value / old.value - 1.0)
                    ),
                ),
            }
        }
        line(
            &mut text,
            format_args!(
                "{same} figures are the same within both runs' noise, {gone} were not measured again"
            ),
        );
        text
    }
}

/// What a figure became, if that is more than noise.
fn change(old: &Figure, new: &Figure) -> Option<&'static str> {
    let apart = new.low > old.high || new.high < old.low;
    if !apart || (new.value / old.value - 1.0).abs() < LEAST {
        return None;
    }
    let is_better = (new.value > old.value) == is_higher_better(&new.unit);
    Some(if is_better { "better" } else { "worse" })
}

/// Where it was measured, as far as figures depend on it.
fn machine(report: &Value) -> String {
    let machine = &report["machine"];
    format!(
        "{} x {}, {}, {} run",
        machine["cores"], machine["processor"], machine["kernel"], report["scale"]
    )
}

/// All figures with an interval, by what they are of.
fn figures(report: &Value) -> BTreeMap<String, Figure> {
    let mut all = BTreeMap::new();
    for target in list(&report["targets"]) {
        if let Some(figure) = figure_of(target) {
            all.insert(format!("target {}", text(&target["id"])), figure);
        }
    }
    for section in list(&report["sections"]) {
        for table in list(&section["tables"]) {
            let columns: Vec<_> = list(&table["columns"]).map(text).collect();
            for row in list(&table["rows"]) {
                // The texts that a row begins with say what it is of.
                let of: Vec<_> = list(row).map_while(Value::as_str).collect();
                for (cell, column) in list(row).zip(&columns) {
                    if let Some(figure) = figure_of(cell) {
                        let title = text(&table["title"]);
                        all.insert(format!("{title}, {}: {column}", of.join(", ")), figure);
                    }
                }
            }
        }
    }
    all
}

fn figure_of(value: &Value) -> Option<Figure> {
    Some(Figure {
        unit: text(value.get("unit")?).to_owned(),
        value: value.get("value")?.as_f64()?,
        low: value.get("low")?.as_f64()?,
        high: value.get("high")?.as_f64()?,
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _written = writeln!(text, "{arguments}");
}

#[cfg(test)]
mod tests {
    use super::{Figure, change};

    fn of(unit: &str, low: f64, value: f64, high: f64) -> Figure {
        let unit = unit.to_owned();
        Figure {
            unit,
            value,
            low,
            high,
        }
    }

    #[test]
    fn what_is_within_both_runs_noise_is_the_same() {
        let old = of("ms", 9.0, 10.0, 11.0);
        for (new, what) in [
            (of("ms", 10.5, 12.0, 13.0), None),
            (of("ms", 11.5, 12.0, 12.5), Some("worse")),
            (of("ms", 7.0, 8.0, 8.5), Some("better")),
        ] {
            assert_eq!(change(&old, &new), what, "{new:?}");
        }
    }

    #[test]
    fn narrow_intervals_make_no_change_of_a_small_difference() {
        let (old, new) = (of("ms", 10.0, 10.0, 10.0), of("ms", 10.2, 10.2, 10.2));
        assert_eq!(change(&old, &new), None);
    }

    #[test]
    fn more_a_second_is_better() {
        let (old, new) = (of("/s", 10.0, 10.0, 10.0), of("/s", 12.0, 12.0, 12.0));
        assert_eq!(change(&old, &new), Some("better"));
    }
}
