//! `weir failed`: records that did not become events.

use anyhow::Result;
use clap::{Args, Subcommand};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use weir_clickhouse::Db;
use weir_common::config::HumanDuration;
use weir_common::time::{now_ms, rfc3339};
use weir_event::Reason;

use crate::cli::Output;
use crate::exit::Outcome;
use crate::output::{self, Format, Rows, count};
use crate::settings::Settings;

/// What to do with failed records.
#[derive(Debug, Subcommand)]
pub(crate) enum FailedCommand {
    /// Lists them, latest first, with what is wrong and where; and how many there are by reason
    Ls(LsArgs),
}

/// Flags of `weir failed ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only those of a source
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// Only those that failed for this reason
    #[arg(long, value_parser = reasons())]
    reason: Option<String>,
    /// Only events of this name
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only those received within this time, such as 1h or 7d
    #[arg(long, value_name = "TIME", default_value = "7d")]
    last: HumanDuration,
    /// Most records to list
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u64,
    #[command(flatten)]
    output: Output,
}

fn reasons() -> clap::builder::PossibleValuesParser {
    Reason::ALL.map(Reason::as_str).into()
}

const CONDITION: &str = "received_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
     AND ({source:String} = '' OR source_id = {source:String}) \
     AND ({reason:String} = '' OR reason = {reason:String}) \
     AND ({event:String} = '' OR name = {event:String})";

#[derive(Debug, Row, Deserialize)]
struct FailedRow {
    received_at_ms: i64,
    source_id: String,
    r#type: String,
    name: String,
    event_id: String,
    reason: String,
    errors: Vec<(String, String, String)>,
    stream: u32,
    topic: String,
    partition: u32,
    offset: u64,
    payload: String,
}

#[derive(Debug, Row, Deserialize, Serialize)]
struct ReasonCount {
    reason: String,
    records: u64,
}

#[derive(Debug, Serialize)]
struct Listed {
    total: u64,
    reasons: Vec<ReasonCount>,
    records: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    received_at: String,
    source: String,
    r#type: String,
    name: String,
    event_id: String,
    reason: String,
    errors: Vec<ShownError>,
    stream: u32,
    topic: String,
    partition: u32,
    offset: u64,
    payload: String,
}

#[derive(Debug, Serialize)]
struct ShownError {
    path: String,
    keyword: String,
    message: String,
}

/// Runs the command.
///
/// # Errors
/// Those of ClickHouse.
pub(crate) async fn run(settings: &Settings, command: FailedCommand) -> Result<Outcome> {
    let FailedCommand::Ls(args) = command;
    let db = settings.connect_clickhouse().await?;
    let reasons = count_reasons(&db, &args).await?;
    let rows = list(&db, &args).await?;
    let total = reasons.iter().map(|reason| reason.records).sum();
    let listed = Listed {
        total,
        reasons,
        records: rows.into_iter().map(Shown::from).collect(),
    };
    match args.output.output {
        Format::Json => output::json(&listed)?,
        Format::Table => print(&listed, args.last)?,
    }
    Ok(Outcome::Fine)
}

async fn count_reasons(db: &Db, args: &LsArgs) -> Result<Vec<ReasonCount>, weir_clickhouse::Error> {
    let sql = format!(
        "SELECT reason, count() AS records FROM failed_events WHERE {CONDITION} \
         GROUP BY reason ORDER BY records DESC, reason"
    );
    Ok(filtered(db, &sql, args).fetch_all().await?)
}

async fn list(db: &Db, args: &LsArgs) -> Result<Vec<FailedRow>, weir_clickhouse::Error> {
    // A payload need not be UTF-8: it may be the very reason.
    let sql = format!(
        "SELECT toUnixTimestamp64Milli(received_at) AS received_at_ms, source_id, type, name, event_id, reason, \
         arrayMap(error -> (error.path, error.keyword, error.message), errors) AS errors, \
         stream, topic, partition, offset, toValidUTF8(payload) AS payload \
         FROM failed_events WHERE {CONDITION} \
         ORDER BY received_at DESC, topic, partition, offset DESC LIMIT {{limit:UInt64}}"
    );
    Ok(filtered(db, &sql, args)
        .param("limit", args.limit)
        .fetch_all()
        .await?)
}

fn filtered(db: &Db, sql: &str, args: &LsArgs) -> clickhouse::query::Query {
    let last = i64::try_from(args.last.0.as_millis()).unwrap_or(i64::MAX);
    db.reader()
        .query_raw(sql)
        .param("from", now_ms().saturating_sub(last).max(0))
        .param("source", args.source.as_deref().unwrap_or_default())
        .param("reason", args.reason.as_deref().unwrap_or_default())
        .param("event", args.event.as_deref().unwrap_or_default())
}

impl From<FailedRow> for Shown {
    fn from(row: FailedRow) -> Self {
        let error = |(path, keyword, message)| ShownError {
            path,
            keyword,
            message,
        };
        Self {
            received_at: rfc3339(row.received_at_ms),
            source: row.source_id,
            r#type: row.r#type,
            name: row.name,
            event_id: row.event_id,
            reason: row.reason,
            errors: row.errors.into_iter().map(error).collect(),
            stream: row.stream,
            topic: row.topic,
            partition: row.partition,
            offset: row.offset,
            payload: row.payload,
        }
    }
}

fn print(listed: &Listed, last: HumanDuration) -> Result<()> {
    if listed.total == 0 {
        output::line(&format!("Nothing failed in the last {last}."))?;
        return Ok(());
    }
    let mut rows = Rows::new([
        "received",
        "source",
        "event",
        "reason",
        "what is wrong",
        "record",
    ]);
    for record in &listed.records {
        let wrong: Vec<String> = record.errors.iter().map(describe).collect();
        let event = match record.name.as_str() {
            "" => &record.r#type,
            name => name,
        };
        rows.add_lines([
            vec![record.received_at.clone()],
            vec![record.source.clone()],
            vec![event.to_owned()],
            vec![record.reason.clone()],
            wrong,
            vec![format!(
                "{}/{}@{}",
                record.topic, record.partition, record.offset
            )],
        ]);
    }
    output::table(&rows)?;
    let by_reason = listed.reasons.iter();
    let by_reason = by_reason.map(|reason| format!("{} {}", count(reason.records), reason.reason));
    output::line(&format!(
        "\n{} of {} failed records in the last {last}: {}",
        count(listed.records.len() as u64),
        count(listed.total),
        by_reason.collect::<Vec<_>>().join(", ")
    ))?;
    Ok(())
}

fn describe(error: &ShownError) -> String {
    if error.path.is_empty() {
        error.message.clone()
    } else {
        format!("{}: {}", error.path, error.message)
    }
}
