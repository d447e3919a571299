// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report as text: targets first, then the tables.

use super::{Cell, Report, Table, figure};

/// All that fits a terminal.
pub(crate) fn summary(report: &Report) -> String {
    let machine = report.machine.lines().into_iter();
    let machine: Vec<_> = machine
        .map(|(name, value)| format!("{name:12} {value}\n"))
        .collect();
    let mut text = machine.concat();
    let tables = report.sections.iter().flat_map(|section| &section.tables);
    text.extend(tables.map(|table| format!("\n{}\n{}", table.title, columns(&written(table)))));
    text += "\nTargets\n";
    let rows = report.targets.iter().map(|target| {
        let met = if target.met { "met" } else { "NOT MET" };
        let spread = format!("[{} – {}]", figure(target.low), figure(target.high));
        vec![
            met.to_owned(),
            target.id.to_owned(),
            format!("{} {}", figure(target.value), target.unit),
            spread,
            format!("limit {}", figure(target.limit)),
            target.what.clone(),
        ]
    });
    text += &columns(&rows.collect::<Vec<_>>());
    let absent = report.absent.iter();
    text.extend(absent.map(|absent| format!("  not measured: {}: {}\n", absent.id, absent.why)));
    text
}

fn written(table: &Table) -> Vec<Vec<String>> {
    let rows = table.rows.iter();
    let rows = rows.map(|row| row.iter().map(Cell::written).collect());
    std::iter::once(table.columns.clone()).chain(rows).collect()
}

/// Cells under each other.
fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, &width)| format!("{cell:width$}  "));
        format!("  {}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}
