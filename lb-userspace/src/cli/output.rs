// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables for people, JSON for programs.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{self, Write as _};

/// How a listing is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// What to print a listing as.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Output {
    /// How to print it.
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub(super) format: Format,
}

/// Prints rows; `columns` makes a row's cells.
pub(super) fn rows<T: Serialize, const N: usize>(
    format: Format,
    header: [&str; N],
    rows: &[T],
    columns: impl Fn(&T) -> [String; N],
) -> anyhow::Result<()> {
    match format {
        Format::Json => json(rows),
        Format::Table => {
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            table.set_content_arrangement(ContentArrangement::Disabled);
            table.set_header(header);
            for row in rows {
                table.add_row(columns(row));
            }
            text(&table.trim_fmt())
        }
    }
}

/// Prints a value as JSON.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<()> {
    text(&serde_json::to_string_pretty(value)?)
}

/// Prints text. A reader that has seen enough (`| head`) is no failure.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
