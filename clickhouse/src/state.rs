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
    /// Platform of its topic: events of all streams and topics of the platform count, and all of the partition itself.
    pub platform: &'a str,
    /// Number of partitions of the topic; elsewhere, keys that fall on the partition with that number count.
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
    let sql = format!(
        "SELECT source_id, event_id, toUnixTimestamp64Milli(received_at) AS received_at_ms FROM events \
         WHERE received_at > fromUnixTimestamp64Milli({{after:Int64}}, 'UTC') AND {MEMBERS}"
    );
    let query = members(db, &sql, query).param("after", query.after_ms);
    Ok(SeenEvents {
        cursor: query.fetch()?,
    })
}

/// Returns the latest `received_at` of the events that make up a partition's state, Unix milliseconds; `None` when there
/// are none. State expires by this, not by a clock. `after_ms` does not count here.
///
/// # Errors
///
/// Those of a read.
pub async fn latest_received_ms(db: &Db, query: &SeenQuery<'_>) -> Result<Option<i64>, Error> {
    // Month by month, so that no more than the latest one is read where there is traffic.
    let months = db.lookup(
        "SELECT DISTINCT partition FROM system.parts \
         WHERE database = currentDatabase() AND table = 'events' AND active ORDER BY partition DESC",
    );
    let sql = format!(
        "SELECT toUnixTimestamp64Milli(max(received_at)), count() FROM events \
         WHERE toYYYYMM(received_at) = {{month:UInt32}} AND {MEMBERS}"
    );
    for month in db::rows::<String>(months).await? {
        let latest = members(db, &sql, query).param("month", month);
        let (latest, rows): (i64, u64) = db::within(SCAN_TIMEOUT, latest.fetch_one()).await?;
        if rows > 0 {
            return Ok(Some(latest));
        }
    }
    Ok(None)
}

/// Events that belong to the state, whenever they were received. Those from this very partition always do, whatever
/// platform their envelope names and wherever their key falls by now.
const MEMBERS: &str = "(platform = {platform:String} AND key_hash % {partitions:UInt32} = {partition:UInt32} \
     OR topic = {topic:String} AND partition = {partition:UInt32}) \
     AND NOT (stream = {stream:UInt32} AND topic = {topic:String} \
     AND partition = {partition:UInt32} AND offset >= {below:UInt64})";

fn members(db: &Db, sql: &str, query: &SeenQuery<'_>) -> clickhouse::query::Query {
    crate::position::of(db, sql, query.source)
        .param("platform", query.platform)
        .param("partitions", query.partitions)
        .param("below", query.below)
        .with_setting("max_execution_time", SCAN_TIMEOUT.as_secs().to_string())
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
