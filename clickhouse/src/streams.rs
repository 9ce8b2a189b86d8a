//! Epochs of topics: which life of a topic an offset belongs to.
//!
//! A topic that is deleted and created again, or that loses records at its end, gives out offsets it gave out before.
//! A higher stream keeps the coordinates apart. Streams count from 1.

use crate::batches;
use crate::db::{self, Db, LOOKUP_TIMEOUT};
use crate::error::Error;
use crate::insert::InsertError;
use crate::position::{self, Stored};
use crate::repairs;
use crate::rows::{BatchEncoder, BatchRow};
use crate::source::{OffsetRange, SourcePartition};

/// Why a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The topic is new.
    Created,
    /// The topic was created again.
    Recreated,
    /// The topic's end lies below what was read before.
    Truncated,
}

impl Reason {
    /// Returns the name in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Recreated => "recreated",
            Self::Truncated => "truncated",
        }
    }
}

/// Returns the current stream of a topic; `None` for a topic that never had one.
///
/// # Errors
///
/// Those of a read.
pub async fn current(db: &Db, topic: &str) -> Result<Option<u32>, Error> {
    let query = db
        .lookup("SELECT max(stream) FROM streams WHERE topic = {topic:String}")
        .param("topic", topic);
    let stream: u32 = db::row(query).await?;
    Ok((stream > 0).then_some(stream))
}

/// Begins the stream after `seen`, unless somebody else has already done so, and returns the current stream. All who
/// saw the same stream and raise it at the same time get the same next one.
///
/// # Errors
///
/// Those of a read or an insert.
pub async fn raise(db: &Db, topic: &str, seen: Option<u32>, reason: Reason) -> Result<u32, Error> {
    if let Some(stream) = current(db, topic).await?
        && Some(stream) > seen
    {
        return Ok(stream);
    }
    let next = seen.unwrap_or(0) + 1;
    let query = db
        .lookup(
            "INSERT INTO streams (topic, stream, reason) \
             SELECT {topic:String}, {stream:UInt32}, {reason:String}",
        )
        .param("topic", topic)
        .param("stream", next)
        .param("reason", reason.as_str());
    db::run(query, LOOKUP_TIMEOUT).await?;
    Ok(current(db, topic).await?.unwrap_or(next).max(next))
}

/// Closes a stream that ends: rows that no batch of the ledger accounts for get one, and offsets among them that no table
/// holds count as lost, for their records are gone with the topic. Rollups of those rows are queued for repair. Returns
/// the ranges that were closed.
///
/// # Errors
///
/// Those of a read or an insert. It may be called again.
pub async fn close(
    db: &Db,
    topic: &str,
    stream: u32,
    partitions: i32,
) -> Result<Vec<(SourcePartition, OffsetRange)>, Error> {
    let encoder = BatchEncoder::load(db).await?;
    let mut connection = db.inserter()?.connect().await?;
    let mut closed = Vec::new();
    for partition in 0..partitions {
        let source = SourcePartition::new(stream, topic, partition);
        let ledger_end = position::ledger_end(db, &source).await?.unwrap_or(-1);
        let Some(last) = position::highest_stored_above(db, &source, ledger_end).await? else {
            continue;
        };
        let range = OffsetRange {
            first: ledger_end + 1,
            last,
        };
        let events = position::stored_offsets(db, Stored::Events, &source, range).await?;
        let failed = position::stored_offsets(db, Stored::Failed, &source, range).await?;
        let (n_events, n_failed) = (events.len() as u64, failed.len() as u64);
        let (min_received_at_ms, max_received_at_ms) = received(db, &source, range).await?;
        let batch = BatchRow {
            source: source.clone(),
            range,
            n_events,
            n_failed,
            n_lost: range.offsets().saturating_sub(n_events + n_failed),
            n_absent: 0,
            min_received_at_ms,
            max_received_at_ms,
            processor_version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_set: String::new(),
            shard: String::new(),
        };
        repairs::queue(db, &source, range, "stream closed").await?;
        match batches::record(&mut connection, &encoder, &[batch], LOOKUP_TIMEOUT).await {
            Ok(()) => closed.push((source, range)),
            Err(InsertError::Failed(error)) => return Err(error),
            Err(error @ (InsertError::Closed | InsertError::Withheld)) => {
                return Err(Error::Transport(error.into()));
            }
        }
    }
    Ok(closed)
}

/// Returns when the first and the last of a range's stored records arrived, Unix milliseconds.
async fn received(
    db: &Db,
    source: &SourcePartition,
    range: OffsetRange,
) -> Result<(i64, i64), Error> {
    let sql = "SELECT toUnixTimestamp64Milli(min(received_at)), toUnixTimestamp64Milli(max(received_at)) FROM (\
               SELECT received_at FROM events WHERE {SOURCE} AND offset BETWEEN {first:UInt64} AND {last:UInt64} \
               UNION ALL SELECT received_at FROM failed_events \
               WHERE {SOURCE} AND offset BETWEEN {first:UInt64} AND {last:UInt64})";
    let query = position::of(db, sql, source)
        .param("first", range.first)
        .param("last", range.last);
    db::row(query).await
}

/// Returns the current stream of a topic, beginning the first one if there is none.
///
/// # Errors
///
/// Those of a read or an insert.
pub async fn current_or_first(db: &Db, topic: &str) -> Result<u32, Error> {
    match current(db, topic).await? {
        Some(stream) => Ok(stream),
        None => raise(db, topic, None, Reason::Created).await,
    }
}
