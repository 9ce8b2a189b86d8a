//! Deduplication state of a partition, read from the stored events: the sink is the state.

use clickhouse::Row;
use clickhouse::query::RowCursor;
use serde::Deserialize;
use uuid::Uuid;

use crate::db::{self, Db, SCAN_TIMEOUT};
use crate::error::Error;
use crate::source::SourcePartition;

/// An event that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its source.
    pub source_id: String,
    /// Its id.
    pub event_id: Uuid,
    /// When it was received, Unix milliseconds.
    pub received_at_ms: i64,
}

/// Which events to load.
#[derive(Clone, Debug)]
pub struct SeenQuery<'a> {
    /// Partition that the state is for.
    pub source: &'a SourcePartition,
    /// Platform of its topic: events of all streams and topics of the platform count.
    pub platform: &'a str,
    /// Number of partitions of the topic; keys that fall on the partition with that number count.
    pub partitions: u32,
    /// First offset that is not decided: the partition's own rows from there on do not count.
    pub below: i64,
    /// Events received after this count, Unix milliseconds.
    pub after_ms: i64,
}

/// Stored events, one after another. Memory is bounded by a block of the answer.
pub struct SeenEvents {
    cursor: RowCursor<SeenRow>,
}

#[derive(Row, Deserialize)]
struct SeenRow {
    source_id: String,
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    received_at_ms: i64,
}

/// Starts reading the events that make up a partition's state, in no particular order.
///
/// # Errors
///
/// Those of a read.
pub fn seen(db: &Db, query: &SeenQuery<'_>) -> Result<SeenEvents, Error> {
    let sql = "SELECT source_id, event_id, toUnixTimestamp64Milli(received_at) AS received_at_ms FROM events \
               WHERE received_at > fromUnixTimestamp64Milli({after:Int64}, 'UTC') AND platform = {platform:String} \
               AND key_hash % {partitions:UInt32} = {partition:UInt32} \
               AND NOT (stream = {stream:UInt32} AND topic = {topic:String} \
               AND partition = {partition:UInt32} AND offset >= {below:UInt64})";
    let query = crate::position::of(db, sql, query.source)
        .param("after", query.after_ms)
        .param("platform", query.platform)
        .param("partitions", query.partitions)
        .param("below", query.below)
        .with_setting("max_execution_time", SCAN_TIMEOUT.as_secs().to_string());
    Ok(SeenEvents {
        cursor: query.fetch()?,
    })
}

/// Returns the latest `received_at` of the stored events of a partition below an offset, Unix milliseconds; `None`
/// when there are none. State expires by this, not by a clock.
///
/// # Errors
///
/// Those of a read.
pub async fn latest_received_ms(
    db: &Db,
    source: &SourcePartition,
    below: i64,
) -> Result<Option<i64>, Error> {
    let sql = "SELECT toUnixTimestamp64Milli(max(received_at)), count() FROM events \
               WHERE {SOURCE} AND offset < {below:UInt64}";
    let (latest, rows): (i64, u64) =
        db::row(crate::position::of(db, sql, source).param("below", below)).await?;
    Ok((rows > 0).then_some(latest))
}

impl SeenEvents {
    /// Returns the next event; `None` after the last.
    ///
    /// # Errors
    ///
    /// Those of a read; what was returned until then is not the whole.
    pub async fn next(&mut self) -> Result<Option<Seen>, Error> {
        let row = db::within(SCAN_TIMEOUT, self.cursor.next()).await?;
        Ok(row.map(|row| Seen {
            source_id: row.source_id,
            event_id: row.event_id,
            received_at_ms: row.received_at_ms,
        }))
    }
}
