//! `weir sql`: a query as the reader, its answer as ClickHouse formats it.

use std::io::{IsTerminal, Read};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::exit::{Failure, Outcome};
use crate::output::{self, Reader};
use crate::settings::Settings;
use crate::text::show_lines;

/// Flags of `weir sql`.
#[derive(Debug, Args)]
#[command(
    after_help = "The query runs as clickhouse.reader_user, which may change nothing; where no reader is \
set, as the owner with readonly=1. Tables: events, failed_events, batches, traffic_15m, pages_15m; \
SHOW CREATE TABLE events explains every column.

Example: weir sql \"SELECT name, count() FROM events GROUP BY name ORDER BY 2 DESC\""
)]
pub(crate) struct SqlArgs {
    /// The query; - reads it from standard input. A FORMAT in it wins over --output
    query: String,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table")]
    output: SqlFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SqlFormat {
    /// A table for people, at most 10,000 rows; control characters are escaped
    Table,
    /// One JSON document with column types and rows
    Json,
    /// One JSON object a line
    Jsonl,
    /// CSV with a header
    Csv,
}

impl SqlFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Table => "PrettyCompactNoEscapesMonoBlock",
            Self::Json => "JSON",
            Self::Jsonl => "JSONEachRow",
            Self::Csv => "CSVWithNames",
        }
    }

    /// Says whether a person reads the answer: a table, or on a terminal whatever else the query asks
    /// for. Other answers have to stay exact.
    fn is_for_people(self, sql: &str) -> bool {
        matches!(self, Self::Table) && (!names_format(sql) || std::io::stdout().is_terminal())
    }
}

/// Runs the command.
///
/// # Errors
/// Those of ClickHouse, its message included.
pub(crate) async fn run(settings: &Settings, args: SqlArgs) -> Result<Outcome> {
    let sql = match args.query.as_str() {
        "-" => {
            let mut sql = String::new();
            std::io::stdin()
                .read_to_string(&mut sql)
                .context("cannot read the query from standard input")?;
            sql
        }
        sql => sql.to_owned(),
    };
    if sql.trim().is_empty() {
        bail!(Failure::Usage("the query is empty".to_owned()));
    }
    let db = settings.connect_clickhouse().await?;
    let mut query = db.reader().query_raw(&sql);
    if db.config().reader_user.is_empty() {
        query = query.with_setting("readonly", "1");
    }
    let mut answer = query
        .fetch_bytes(args.output.name())
        .map_err(weir_clickhouse::Error::from)?;
    let mut lines = args.output.is_for_people(&sql).then(Lines::default);
    while let Some(chunk) = answer.next().await.map_err(weir_clickhouse::Error::from)? {
        let reader = match &mut lines {
            Some(lines) => output::bytes(lines.take(&chunk).as_bytes())?,
            None => output::bytes(&chunk)?,
        };
        if reader == Reader::Gone {
            return Ok(Outcome::Fine);
        }
    }
    if let Some(lines) = lines {
        output::bytes(show_lines(&lines.unfinished).as_bytes())?;
    }
    Ok(Outcome::Fine)
}

/// Says whether a query names the format of its answer, or at least seems to.
fn names_format(sql: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    let words = sql.split_whitespace();
    words.clone().zip(words.skip(1)).any(|(word, next)| {
        let last = word.rsplit(|c| !in_name(c)).next().unwrap_or_default();
        last.eq_ignore_ascii_case("format") && next.starts_with(in_name)
    })
}

/// Cuts an answer, which may be torn anywhere, at the ends of its lines and makes them harmless.
#[derive(Default)]
struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    fn take(&mut self, chunk: &[u8]) -> String {
        let Some(end) = chunk.iter().rposition(|byte| *byte == b'\n') else {
            self.unfinished.extend_from_slice(chunk);
            return String::new();
        };
        let (finished, unfinished) = chunk.split_at(end + 1);
        self.unfinished.extend_from_slice(finished);
        let shown = show_lines(&self.unfinished).into_owned();
        self.unfinished = unfinished.to_vec();
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_in_the_query_is_seen() {
        for sql in [
            "SELECT 1 FORMAT CSV",
            "select count()format\nParquet settings a = 1",
        ] {
            assert!(names_format(sql), "{sql}");
        }
        for sql in [
            "SELECT 1",
            "SELECT formatDateTime(now(), '%F') AS x",
            "SELECT format('{}', 1)",
            "SELECT my_format FROM t",
        ] {
            assert!(!names_format(sql), "{sql}");
        }
    }

    #[test]
    fn lines_are_harmless_wherever_they_are_torn() {
        let text = "│ \u{9b}2Jü\t│\n│ \x1b]0;x\x07 │\nend";
        let shown = "│ \\u{9b}2Jü\t│\n│ \\x1b]0;x\\x07 │\n";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let pieces = text.as_bytes().chunks(size);
            assert_eq!(
                pieces.map(|piece| lines.take(piece)).collect::<String>(),
                shown
            );
            assert_eq!(lines.unfinished, b"end");
        }
    }
}
