//! `weir sql`: a query as the reader, its answer as ClickHouse formats it.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::exit::{Failure, Outcome};
use crate::settings::Settings;

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
    /// A table for people; at most 10,000 rows
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
    let mut out = std::io::stdout().lock();
    while let Some(chunk) = answer.next().await.map_err(weir_clickhouse::Error::from)? {
        out.write_all(&chunk)?;
    }
    out.flush()?;
    Ok(Outcome::Fine)
}
