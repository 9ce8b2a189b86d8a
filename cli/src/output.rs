//! What commands print on stdout: tables for people, JSON for machines.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use serde::Serialize;

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    Table,
    /// One JSON document for machines.
    Json,
}

/// Rows of text below a header; columns of numbers are set flush right.
#[derive(Debug)]
pub(crate) struct Rows {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// Starts a table with these column names.
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            header: header.map(str::to_owned).into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn add<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    fn lines(&self) -> Vec<String> {
        let number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == ',');
        let numbers: Vec<bool> = (0..self.header.len())
            .map(|column| self.rows.iter().all(|row| number(&row[column])))
            .collect();
        let aligned = |row: &[String]| -> Vec<Cell> {
            let cells = row.iter().zip(&numbers);
            let cells = cells.map(|(text, number)| match number {
                true => Cell::new(text).set_alignment(CellAlignment::Right),
                false => Cell::new(text),
            });
            cells.collect()
        };
        let mut table = Table::new();
        table
            .load_style(comfy_table::presets::NOTHING)
            // Only a terminal has a width to keep within.
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(aligned(&self.header));
        for row in &self.rows {
            table.add_row(aligned(row));
        }
        let lines = table.lines();
        lines.map(|line| line.trim_end().to_owned()).collect()
    }
}

/// Prints a table.
///
/// # Errors
/// Fails if stdout is closed.
pub(crate) fn table(rows: &Rows) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in rows.lines() {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// Prints one JSON document, indented.
///
/// # Errors
/// Fails if stdout is closed.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    out.flush()
}

/// Prints a line.
///
/// # Errors
/// Fails if stdout is closed.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes a number with thousands separators.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn tables_are_plain_text_with_numbers_flush_right() {
        let mut rows = Rows::new(["page", "views"]);
        rows.add(["/".to_owned(), count(1000)]);
        rows.add(["/a".to_owned(), count(7)]);
        assert_eq!(
            rows.lines(),
            [" page  views", " /     1,000", " /a        7"]
        );
    }
}
