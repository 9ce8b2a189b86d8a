//! What commands print on stdout: tables for people, JSON for machines.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use crate::text::{show, show_lines};

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    Table,
    /// One JSON document for machines.
    Json,
}

/// Whoever reads stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Nothing is known to the contrary.
    There,
    /// Closed it: nothing more needs to be printed.
    Gone,
}

/// Rows of text below a header, with nothing in it that would command a terminal; columns of numbers
/// are set flush right.
#[derive(Debug)]
pub(crate) struct Rows {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    /// Starts a table with these column names.
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            header: header.map(|name| show(name.as_bytes()).into_owned()).into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn add<const N: usize>(&mut self, cells: [String; N]) {
        self.add_lines(cells.map(|cell| vec![cell]));
    }

    /// Adds a row whose cells may have several lines.
    pub(crate) fn add_lines<const N: usize>(&mut self, cells: [Vec<String>; N]) {
        let shown = cells.map(|lines| {
            let lines: Vec<_> = lines.iter().map(|line| show(line.as_bytes())).collect();
            lines.join("\n")
        });
        self.rows.push(shown.into());
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
/// Fails if stdout cannot be written.
pub(crate) fn table(rows: &Rows) -> io::Result<()> {
    let lines = rows.lines();
    print(&mut io::stdout().lock(), |out| {
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    })
    .map(|_| ())
}

/// Prints one JSON document, indented.
///
/// # Errors
/// Fails if stdout cannot be written.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    print(&mut io::stdout().lock(), |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
    .map(|_| ())
}

/// Prints a line, or several, without what would command a terminal.
///
/// # Errors
/// Fails if stdout cannot be written.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let text = show_lines(text.as_bytes());
    print(&mut io::stdout().lock(), |out| writeln!(out, "{text}")).map(|_| ())
}

/// Prints bytes as they are. Says whether anybody reads on.
///
/// # Errors
/// Fails if stdout cannot be written.
pub(crate) fn bytes(bytes: &[u8]) -> io::Result<Reader> {
    print(&mut io::stdout().lock(), |out| out.write_all(bytes))
}

/// Prints; a reader that has gone, as in `weir stats | head`, is nobody's fault and changes nothing
/// about what the command did and found.
fn print<W: Write>(
    out: &mut W,
    print: impl FnOnce(&mut W) -> io::Result<()>,
) -> io::Result<Reader> {
    match print(out).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
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

    #[test]
    fn cells_cannot_command_a_terminal_or_fake_a_row() {
        let mut rows = Rows::new(["a\x1b"]);
        rows.add(["\x1b[2Jü\u{9b}1A\n/fake".to_owned()]);
        rows.add_lines([vec!["one".to_owned(), "two\r".to_owned()]]);
        assert_eq!(
            rows.lines(),
            [
                r" a\x1b",
                r" \x1b[2Jü\u{9b}1A\x0a/fake",
                " one",
                r" two\x0d"
            ]
        );
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is() {
        struct Broken(io::ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let printed = |kind| {
            print(&mut Broken(kind), |out| {
                Ok(serde_json::to_writer(out, &"text")?)
            })
        };
        assert_eq!(printed(io::ErrorKind::BrokenPipe).unwrap(), Reader::Gone);
        assert!(printed(io::ErrorKind::StorageFull).is_err());
    }
}
