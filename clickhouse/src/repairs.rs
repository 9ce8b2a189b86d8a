//! Making rollups equal to the events again.
//!
//! A delivery that could not heal its views queues the buckets it touched. [`mend`] then adds to the rollups what they
//! lack. It may be run at any time and again: a batch that lands in between is seen by the next look.

use clickhouse::Row;
use serde::Deserialize;

use crate::db::{self, Db, LOOKUP_TIMEOUT, SCAN_TIMEOUT};
use crate::error::Error;
use crate::position;
use crate::queries;
use crate::source::{OffsetRange, SourcePartition};

/// A queued repair.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Repair {
    /// Rollup table.
    pub target: String,
    /// Source.
    pub source_id: String,
    /// First bucket, Unix seconds.
    pub bucket_from: i64,
    /// Last bucket, included, Unix seconds.
    pub bucket_to: i64,
    /// Why it was queued.
    pub reason: String,
    /// When it was queued, Unix milliseconds by ClickHouse's clock.
    pub queued_at_ms: i64,
}

/// Queues the rollup buckets that the stored events of a range fall into. Without such events nothing is queued.
///
/// # Errors
///
/// Those of an insert.
pub async fn queue(
    db: &Db,
    source: &SourcePartition,
    range: OffsetRange,
    reason: &str,
) -> Result<(), Error> {
    let query = position::of(db, queries::REPAIR_QUEUE, source)
        .param("first", range.first)
        .param("last", range.last)
        .param("reason", reason);
    db::run(query, LOOKUP_TIMEOUT).await
}

/// Returns the repairs that are not done, oldest first.
///
/// # Errors
///
/// Those of a read.
pub async fn open(db: &Db) -> Result<Vec<Repair>, Error> {
    db::rows(db.lookup(queries::REPAIR_OPEN)).await
}

/// Adds to every rollup what it lacks for one UTC day, by its first moment in Unix seconds.
///
/// A surplus of visitors cannot be taken out of their state: it stays, and a verification goes on reporting it until
/// the bucket's rows are deleted and the day is mended again.
///
/// # Errors
///
/// Those of a statement.
pub async fn mend(db: &Db, day: i64) -> Result<(), Error> {
    for rollup in queries::ROLLUPS {
        let query = db
            .lookup(&rollup.repair())
            .param("day", day)
            // Two corrections may well be equal.
            .with_setting("insert_deduplicate", "0")
            .with_setting("max_execution_time", SCAN_TIMEOUT.as_secs().to_string());
        db::run(query, SCAN_TIMEOUT).await?;
    }
    Ok(())
}

/// Marks a queued repair as done.
///
/// # Errors
///
/// Those of an insert.
pub async fn done(db: &Db, repair: &Repair) -> Result<(), Error> {
    let query = db
        .lookup(
            "INSERT INTO repairs (target, source_id, bucket_from, bucket_to, reason, queued_at, done_at) \
             SELECT {target:String}, {source:String}, fromUnixTimestamp({from:Int64}), fromUnixTimestamp({to:Int64}), \
             {reason:String}, fromUnixTimestamp64Milli({queued:Int64}), now64(3)",
        )
        .param("target", &repair.target)
        .param("source", &repair.source_id)
        .param("from", repair.bucket_from)
        .param("to", repair.bucket_to)
        .param("reason", &repair.reason)
        .param("queued", repair.queued_at_ms);
    db::run(query, LOOKUP_TIMEOUT).await
}
