//! How far a partition is, by the ledger and by the rows that are stored.

use clickhouse::Row;
use serde::Deserialize;

use crate::db::{self, Db, LOOKUP_TIMEOUT};
use crate::error::Error;
use crate::source::{OffsetRange, SourcePartition};

/// Which verdict's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    /// Accepted: `events`.
    Events,
    /// Failed: `failed_events`.
    Failed,
}

impl Stored {
    fn table(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Failed => "failed_events",
        }
    }
}

/// Returns H, the highest offset in the ledger; `None` when the partition has no batch yet.
///
/// # Errors
///
/// Those of a read.
pub async fn ledger_end(db: &Db, source: &SourcePartition) -> Result<Option<i64>, Error> {
    let query = of(
        db,
        "SELECT max(last), count() FROM batches WHERE {SOURCE}",
        source,
    );
    let (last, batches): (u64, u64) = db::row(query).await?;
    (batches > 0).then(|| offset(last)).transpose()
}

/// Returns how many batches of all partitions were recorded since a moment, Unix milliseconds by ClickHouse's clock.
/// Each is at most one part in every table, so this bounds how far the deduplication windows have rolled.
///
/// # Errors
///
/// Those of a read.
pub async fn batches_since(db: &Db, since_ms: i64) -> Result<u64, Error> {
    let query = db.lookup("SELECT count() FROM batches WHERE inserted_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')")
        .param("since", since_ms);
    db::row(query).await
}

/// Returns the offsets of a range that a table holds, ascending; an offset that is stored twice comes twice.
///
/// # Errors
///
/// Those of a read.
pub async fn stored_offsets(
    db: &Db,
    stored: Stored,
    source: &SourcePartition,
    range: OffsetRange,
) -> Result<Vec<i64>, Error> {
    let sql = format!(
        "SELECT offset FROM {} WHERE {{SOURCE}} \
         AND offset BETWEEN {{first:UInt64}} AND {{last:UInt64}} ORDER BY offset",
        stored.table()
    );
    let query = of(db, &sql, source)
        .param("first", range.first)
        .param("last", range.last);
    let offsets: Vec<u64> = db::rows(query).await?;
    offsets.into_iter().map(offset).collect()
}

/// Returns the highest stored offset, accepted or failed, above `after` (-1 for any at all); `None` when there is
/// none.
///
/// # Errors
///
/// Those of a read.
pub async fn highest_stored_above(
    db: &Db,
    source: &SourcePartition,
    after: i64,
) -> Result<Option<i64>, Error> {
    let sql = "SELECT max(offset), count() FROM (\
               SELECT offset FROM events WHERE {SOURCE} AND offset >= {from:UInt64} \
               UNION ALL SELECT offset FROM failed_events WHERE {SOURCE} AND offset >= {from:UInt64})";
    let (highest, rows): (u64, u64) = db::row(of(db, sql, source).param("from", after + 1)).await?;
    (rows > 0).then(|| offset(highest)).transpose()
}

/// A partition the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEnd {
    /// The partition.
    pub source: SourcePartition,
    /// Its highest offset in the ledger.
    pub last: i64,
}

/// Returns every partition of every stream in the ledger with its end.
///
/// # Errors
///
/// Those of a read.
pub async fn ledger_ends(db: &Db) -> Result<Vec<LedgerEnd>, Error> {
    #[derive(Row, Deserialize)]
    struct End {
        stream: u32,
        topic: String,
        partition: u32,
        end: u64,
    }
    let query = db.lookup(
        "SELECT stream, topic, partition, max(last) AS end FROM batches \
         GROUP BY stream, topic, partition ORDER BY topic, stream, partition",
    );
    let ends: Vec<End> = db::rows(query).await?;
    ends.into_iter()
        .map(|end| {
            Ok(LedgerEnd {
                source: SourcePartition::new(end.stream, end.topic, end.partition.cast_signed()),
                last: offset(end.end)?,
            })
        })
        .collect()
}

/// Makes every replica of the table's rows visible to the next read. On one node there is nothing to wait for.
///
/// # Errors
///
/// Those of a statement; a replica that does not catch up within a minute is a timeout.
pub async fn sync_replica(db: &Db, stored: Stored) -> Result<(), Error> {
    let query = db.lookup("SELECT engine FROM system.tables WHERE database = {database:String} AND name = {table:String}")
        .param("database", &db.config().database)
        .param("table", stored.table());
    let engine: String = db::row(query).await?;
    if !engine.starts_with("Replicated") {
        return Ok(());
    }
    let sync = format!("SYSTEM SYNC REPLICA {} LIGHTWEIGHT", stored.table());
    db::run(db.admin().query_raw(&sync), LOOKUP_TIMEOUT).await
}

/// Prepares a query on one partition; `{SOURCE}` in it becomes the condition on the coordinates.
pub(crate) fn of(db: &Db, sql: &str, source: &SourcePartition) -> clickhouse::query::Query {
    let condition =
        "stream = {stream:UInt32} AND topic = {topic:String} AND partition = {partition:UInt32}";
    db.lookup(&sql.replace("{SOURCE}", condition))
        .param("stream", source.stream)
        .param("topic", &*source.topic)
        .param("partition", source.partition)
}

pub(crate) fn offset(stored: u64) -> Result<i64, Error> {
    i64::try_from(stored).map_err(|_| Error::Answer(format!("{stored} is no offset")))
}
