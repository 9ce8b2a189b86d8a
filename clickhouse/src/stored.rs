//! The stored events of a range: their ids for the deduplication state, and their canonical form for who reads on.

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;
use weir_event::{Event, Failure, FieldError, Reason};

use crate::db::{self, Db};
use crate::error::Error;
use crate::position::{of, offset};
use crate::source::{OffsetRange, SourcePartition};
use crate::state::Seen;

/// Returns offset and id of every event stored of a range, ascending; an offset that is stored twice comes twice.
///
/// # Errors
///
/// Those of a read.
pub async fn ids(
    db: &Db,
    source: &SourcePartition,
    range: OffsetRange,
) -> Result<Vec<(i64, Seen)>, Error> {
    #[derive(Row, Deserialize)]
    struct Stored {
        offset: u64,
        source_id: String,
        #[serde(with = "clickhouse::serde::uuid")]
        event_id: Uuid,
        received_at_ms: i64,
    }
    let sql = "SELECT offset, source_id, event_id, toUnixTimestamp64Milli(received_at) AS received_at_ms FROM events \
               WHERE {SOURCE} AND offset BETWEEN {first:UInt64} AND {last:UInt64} ORDER BY offset";
    let query = of(db, sql, source)
        .param("first", range.first)
        .param("last", range.last);
    let stored: Vec<Stored> = db::rows(query).await?;
    stored
        .into_iter()
        .map(|row| {
            let seen = Seen {
                source_id: row.source_id,
                event_id: row.event_id,
                received_at_ms: row.received_at_ms,
            };
            Ok((offset(row.offset)?, seen))
        })
        .collect()
}

/// Returns the events stored of a range in their canonical form, ascending by offset.
///
/// # Errors
///
/// Those of a read; [`Error::Answer`] when a row is no canonical event.
pub async fn canonical(
    db: &Db,
    source: &SourcePartition,
    range: OffsetRange,
) -> Result<Vec<(i64, Event)>, Error> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(rename = "__offset")]
        offset: u64,
        /// As text: what ClickHouse would make of it as JSON need not be what was stored.
        #[serde(rename = "__context")]
        context: String,
        #[serde(flatten)]
        event: Event,
    }
    // Times and texts that were not sent are stored as zero and empty, and left out of the canonical form.
    let sql = "SELECT * EXCEPT (stream, topic, partition, offset, key_hash, inserted_at, ts, client_ts, sent_at, received_at, visitor_id, context), \
               offset AS __offset, context AS __context, toUnixTimestamp64Milli(ts) AS ts_ms, \
               nullIf(toUnixTimestamp64Milli(client_ts), 0) AS client_ts_ms, \
               nullIf(toUnixTimestamp64Milli(sent_at), 0) AS sent_at_ms, \
               toUnixTimestamp64Milli(received_at) AS received_at_ms, \
               toString(visitor_id) AS visitor_id \
               FROM events WHERE {SOURCE} AND offset BETWEEN {first:UInt64} AND {last:UInt64} ORDER BY offset";
    let query = of(db, sql, source)
        .param("first", range.first)
        .param("last", range.last)
        .with_setting("output_format_json_quote_64bit_integers", "0");
    let text = db::within(db::LOOKUP_TIMEOUT, async {
        query.fetch_bytes("JSONEachRow")?.collect().await
    })
    .await?;
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let unreadable =
                |error| Error::Answer(format!("a stored row is no canonical event: {error}"));
            let mut line: Line = serde_json::from_slice(line).map_err(unreadable)?;
            line.event.context = serde_json::from_str(&line.context).map_err(unreadable)?;
            Ok((offset(line.offset)?, line.event))
        })
        .collect()
}

/// Returns the failures stored of a range, ascending by offset.
///
/// # Errors
///
/// Those of a read; [`Error::Answer`] when a row is no failure this version knows.
pub async fn failures(
    db: &Db,
    source: &SourcePartition,
    range: OffsetRange,
) -> Result<Vec<(i64, Failure)>, Error> {
    #[derive(Row, Deserialize)]
    struct Stored {
        offset: u64,
        received_at_ms: i64,
        source_id: String,
        platform: String,
        r#type: String,
        name: String,
        event_id: String,
        reason: String,
        paths: Vec<String>,
        keywords: Vec<String>,
        messages: Vec<String>,
        payload_hex: String,
    }
    // The payload need not be text, which the client insists on; nor does it know tuples with names.
    let sql = "SELECT offset, toUnixTimestamp64Milli(received_at) AS received_at_ms, source_id, platform, type, name, \
               event_id, reason, arrayMap(e -> e.1, errors) AS paths, arrayMap(e -> e.2, errors) AS keywords, \
               arrayMap(e -> e.3, errors) AS messages, hex(payload) AS payload_hex FROM failed_events \
               WHERE {SOURCE} AND offset BETWEEN {first:UInt64} AND {last:UInt64} ORDER BY offset";
    let query = of(db, sql, source)
        .param("first", range.first)
        .param("last", range.last);
    let stored: Vec<Stored> = db::rows(query).await?;
    stored
        .into_iter()
        .map(|row| {
            let reason = Reason::ALL
                .into_iter()
                .find(|reason| reason.as_str() == row.reason)
                .ok_or_else(|| Error::Answer(format!("{:?} is no reason to fail", row.reason)))?;
            let errors = row.paths.into_iter().zip(row.keywords).zip(row.messages);
            let failure = Failure {
                reason,
                errors: errors
                    .map(|((path, keyword), message)| FieldError::new(path, keyword, message))
                    .collect(),
                event_id: row.event_id,
                source_id: row.source_id,
                platform: row.platform,
                r#type: row.r#type,
                name: row.name,
                received_at_ms: row.received_at_ms,
                payload: unhex(&row.payload_hex)?,
            };
            Ok((offset(row.offset)?, failure))
        })
        .collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, Error> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Error::Answer("a payload is not in hexadecimal".into()))
}
