// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was measured, whatever it was: targets, sections with tables and plots. One value that is
//! written as JSON and as HTML, and summed up on the terminal.

mod html;
mod plot;
pub(crate) mod terminal;

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::{Serialize, Serializer};

pub(crate) use plot::{Line, Plot};

use crate::{estimate::Estimate, machine::Machine};

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// `full`, `quick` or `smoke`.
    scale: String,
    targets: Vec<Target>,
    /// Targets that this run did not measure.
    absent: Vec<Absent>,
    sections: Vec<Section>,
}

/// Something that is to be at most a limit, or at least one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    pub(crate) limit: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// The whole interval is within the limit, and that of a ratio is as narrow as a row should be.
    pub(crate) met: bool,
}

impl Target {
    pub(crate) fn at_most(
        id: &'static str,
        what: impl Into<String>,
        (limit, unit): (f64, &'static str),
        estimate: Estimate,
    ) -> Self {
        Self {
            id,
            what: what.into(),
            unit,
            value: estimate.value,
            limit,
            low: estimate.low,
            high: estimate.high,
            met: estimate.high <= limit && is_quiet(unit, &estimate),
        }
    }

    pub(crate) fn at_least(
        id: &'static str,
        what: impl Into<String>,
        (limit, unit): (f64, &'static str),
        estimate: Estimate,
    ) -> Self {
        Self {
            met: estimate.low >= limit && is_quiet(unit, &estimate),
            ..Self::at_most(id, what, (limit, unit), estimate)
        }
    }

    /// A ratio of large to small that is 1 as far as the run can tell: its interval begins at 1 or
    /// below.
    pub(crate) fn no_growth(id: &'static str, what: impl Into<String>, ratio: Estimate) -> Self {
        Self {
            met: ratio.low <= 1.0 && is_quiet("x", &ratio),
            ..Self::at_most(id, what, (1.0, "x"), ratio)
        }
    }
}

/// Whether a figure says enough to meet a target: a ratio that stays noisy does not.
fn is_quiet(unit: &str, estimate: &Estimate) -> bool {
    !unit.starts_with('x') || estimate.is_tight()
}

/// A target without a figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Absent {
    pub(crate) id: &'static str,
    pub(crate) why: String,
}

/// What one part found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// How it was measured, paragraph by paragraph.
    pub(crate) text: Vec<String>,
    pub(crate) tables: Vec<Table>,
    pub(crate) plots: Vec<Plot>,
}

/// Rows of figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A figure, or what there is in its place.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Text(String),
    Figure(Estimate, &'static str),
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// As people read it.
    pub(crate) fn written(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Figure(estimate, unit) => {
                let Estimate {
                    value, low, high, ..
                } = *estimate;
                let spread = if (high - low).abs() > f64::EPSILON {
                    format!(" [{} – {}]", figure(low), figure(high))
                } else {
                    String::new()
                };
                format!("{} {unit}{spread}", figure(value))
            }
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Figure<'a> {
            #[serde(flatten)]
            estimate: &'a Estimate,
            unit: &'a str,
        }
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Figure(estimate, unit) => Figure { estimate, unit }.serialize(serializer),
        }
    }
}

/// Whether more of a unit is better: of what is done in a second. All else is cost.
pub(crate) fn is_higher_better(unit: &str) -> bool {
    unit.ends_with("/s") && unit != "changes/s"
}

/// Three digits that count, without an exponent.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

impl Report {
    pub(crate) fn new(machine: Machine, scale: &str) -> Self {
        Self {
            machine,
            scale: scale.to_owned(),
            targets: Vec::new(),
            absent: Vec::new(),
            sections: Vec::new(),
        }
    }

    pub(crate) fn target(&mut self, target: Target) {
        self.targets.push(target);
    }

    pub(crate) fn absent(&mut self, id: &'static str, why: impl Into<String>) {
        let why = why.into();
        self.absent.push(Absent { id, why });
    }

    pub(crate) fn section(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// As [`crate::compare`] reads it.
    pub(crate) fn value(&self) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::to_value(self)?)
    }

    /// Writes `report.json` and `report.html` into a folder.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let json = serde_json::to_string_pretty(self)?;
        for (name, text) in [("report.json", json), ("report.html", html::page(self))] {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }
}
