// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report as one page that needs nothing else.

use super::{Cell, Report, Section, Table, figure};

const STYLE: &str = "
:root{color-scheme:light dark;--line:#8884;--bad:#c33;--good:#283}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{border-bottom:1px solid var(--line);padding:.25rem .9rem .25rem 0;text-align:left}
.met{color:var(--good)}.missed{color:var(--bad);font-weight:600}
svg{max-width:100%;height:auto}figure{margin:1rem 0}
";

/// The page.
pub(super) fn page(report: &Report) -> String {
    let machine = report.machine.lines();
    let machine = machine
        .iter()
        .map(|(name, value)| format!("<tr><th>{name}</th><td>{}</td></tr>", escape(value)));
    let sections: String = report.sections.iter().map(section).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Weiche: bench</title>\n<style>{STYLE}</style>\n<h1>Weiche: bench ({})</h1>\n\
         <table>{}</table>\n{}{sections}</html>\n",
        report.scale,
        machine.collect::<String>(),
        targets(report),
    )
}

fn targets(report: &Report) -> String {
    let rows = report.targets.iter().map(|target| {
        let (class, word) = if target.met {
            ("met", "met")
        } else {
            ("missed", "not met")
        };
        format!(
            "<tr><td>{}</td><td>{}</td><td>{} {unit}</td><td>{} – {}</td><td>≤ {} {unit}</td>\
             <td class=\"{class}\">{word}</td></tr>\n",
            target.id,
            escape(&target.what),
            figure(target.value),
            figure(target.low),
            figure(target.high),
            figure(target.limit),
            unit = target.unit,
        )
    });
    let absent = report.absent.iter().map(|absent| {
        let why = escape(&absent.why);
        format!(
            "<tr><td>{}</td><td colspan=\"5\">not measured: {why}</td></tr>\n",
            absent.id
        )
    });
    format!(
        "<table><caption>Targets</caption>\n<tr><th>id</th><th>what</th><th>value</th>\
         <th>95 % interval</th><th>limit</th><th></th></tr>\n{}</table>\n",
        rows.chain(absent).collect::<String>()
    )
}

fn section(section: &Section) -> String {
    let text = section.text.iter();
    let text = text.map(|paragraph| format!("<p>{}</p>\n", escape(paragraph)));
    let plots = section.plots.iter();
    let plots = plots.map(|plot| format!("<figure>{}</figure>\n", plot.svg()));
    format!(
        "<h2>{}</h2>\n{}{}{}",
        escape(&section.title),
        text.collect::<String>(),
        plots.collect::<String>(),
        section.tables.iter().map(table).collect::<String>(),
    )
}

fn table(table: &Table) -> String {
    let head = table.columns.iter();
    let head = head.map(|name| format!("<th>{}</th>", escape(name)));
    let row = |row: &Vec<Cell>| {
        let cells = row.iter();
        let cells = cells.map(|cell| format!("<td>{}</td>", escape(&cell.written())));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    format!(
        "<table><caption>{}</caption>\n<tr>{}</tr>\n{}</table>\n",
        escape(&table.title),
        head.collect::<String>(),
        table.rows.iter().map(row).collect::<String>(),
    )
}

/// Text as HTML shows it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
