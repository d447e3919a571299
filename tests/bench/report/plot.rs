// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cost against scale, both logarithmic, drawn as SVG.

use serde::Serialize;

use super::{figure, html::escape};
use crate::estimate::{Estimate, whole};

/// One drawing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plot {
    pub(crate) title: String,
    /// What goes to the right.
    pub(crate) x: String,
    /// What goes up.
    pub(crate) y: String,
    pub(crate) lines: Vec<Line>,
}

/// What was measured at several scales.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, Estimate)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 570.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 330.0;
/// Told apart by those, too, who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];

impl Plot {
    /// The drawing, to be put into a page.
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let across = Axis::over(points().map(|(x, _)| *x), LEFT, RIGHT);
        let up = Axis::over(points().flat_map(|(_, y)| [y.low, y.high]), BOTTOM, TOP);
        let lines = self.lines.iter().zip(COLOURS.iter().cycle());
        let lines = (0..).zip(lines).map(|(index, (line, colour))| {
            let name_at = TOP + 20.0 * whole(index);
            draw(line, colour, name_at, &across, &up)
        });
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\" \
             font-family=\"system-ui,sans-serif\" font-size=\"12\" fill=\"currentColor\">\n\
             <title>{title}</title>\n\
             <text x=\"{LEFT}\" y=\"20\" font-weight=\"600\">{title}</text>\n\
             {}{}<text x=\"{RIGHT}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
             <text x=\"{LEFT}\" y=\"{}\" text-anchor=\"end\">{}</text>\n{}</svg>\n",
            across.marks(true),
            up.marks(false),
            BOTTOM + 36.0,
            escape(&self.x),
            TOP - 6.0,
            escape(&self.y),
            lines.collect::<String>(),
            title = escape(&self.title),
        )
    }
}

fn draw(line: &Line, colour: &str, name_at: f64, across: &Axis, up: &Axis) -> String {
    let places = line
        .points
        .iter()
        .map(|(x, y)| (across.at(*x), up.at(y.value)));
    let path = places.clone().map(|(x, y)| format!("{x:.1},{y:.1}"));
    let path: Vec<_> = path.collect();
    let dots = places.map(|(x, y)| format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"));
    let bars = line.points.iter().map(|(x, y)| {
        let (x, low, high) = (across.at(*x), up.at(y.low), up.at(y.high));
        format!("<path d=\"M{x:.1},{low:.1}V{high:.1}\" stroke=\"{colour}\"/>")
    });
    format!(
        "<g fill=\"{colour}\"><polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" \
         stroke-width=\"2\"/>{}{}<text x=\"{}\" y=\"{name_at}\">{}</text></g>\n",
        path.join(" "),
        bars.collect::<String>(),
        dots.collect::<String>(),
        RIGHT + 14.0,
        escape(&line.name),
    )
}

/// Powers of ten along one side.
struct Axis {
    first: i32,
    last: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let logs = values.filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) = logs.fold((f64::MAX, f64::MIN), |(low, high), log| {
            (low.min(log), high.max(log))
        });
        let first = (-12..12).rev().find(|power| f64::from(*power) <= low);
        let first = first.unwrap_or(0);
        let last = (first + 1..13).find(|power| f64::from(*power) >= high);
        Self {
            first,
            last: last.unwrap_or(first + 1),
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let log = value.max(1e-12).log10().max(f64::from(self.first));
        let part = (log - f64::from(self.first)) / f64::from(self.last - self.first);
        self.from + part * (self.to - self.from)
    }

    fn marks(&self, is_across: bool) -> String {
        let mark = |power| {
            let value = 10_f64.powi(power);
            let (at, label) = (self.at(value), figure(value));
            if is_across {
                format!(
                    "<path d=\"M{at:.1},{TOP}V{BOTTOM}\" stroke=\"currentColor\" opacity=\".15\"/>\
                     <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>\n",
                    BOTTOM + 18.0
                )
            } else {
                format!(
                    "<path d=\"M{LEFT},{at:.1}H{RIGHT}\" stroke=\"currentColor\" opacity=\".15\"/>\
                     <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
                    LEFT - 6.0,
                    at + 4.0
                )
            }
        };
        (self.first..=self.last).map(mark).collect()
    }
}
