//! Files that were imported, known by a digest of their content.

use clickhouse::Row;
use serde::Deserialize;

use crate::db::{self, Db, LOOKUP_TIMEOUT};
use crate::error::Error;

/// An import that took place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Source the events were imported for.
    pub source_id: String,
    /// blake3 of the uncompressed content, in hex.
    pub digest: String,
    /// Name of the file; `-` for standard input.
    pub file_name: String,
    /// Events that were sent.
    pub events: u64,
    /// When it ended, Unix milliseconds by ClickHouse's clock; not read by [`record`].
    pub imported_at_ms: i64,
}

/// Returns the latest import of this content for this source, if there was one.
///
/// # Errors
///
/// Those of a read.
pub async fn find(db: &Db, source_id: &str, digest: &str) -> Result<Option<Import>, Error> {
    #[derive(Row, Deserialize)]
    struct Found {
        file_name: String,
        events: u64,
        imported_at_ms: i64,
    }
    let query = db.lookup(
            "SELECT file_name, events, toUnixTimestamp64Milli(imported_at) AS imported_at_ms FROM imports \
             WHERE source_id = {source:String} AND digest = {digest:String} ORDER BY imported_at DESC LIMIT 1",
        )
        .param("source", source_id)
        .param("digest", digest);
    let found: Vec<Found> = db::rows(query).await?;
    Ok(found.into_iter().next().map(|found| Import {
        source_id: source_id.to_owned(),
        digest: digest.to_owned(),
        file_name: found.file_name,
        events: found.events,
        imported_at_ms: found.imported_at_ms,
    }))
}

/// Records an import that is done.
///
/// # Errors
///
/// Those of an insert.
pub async fn record(db: &Db, import: &Import) -> Result<(), Error> {
    let query = db
        .lookup(
            "INSERT INTO imports (source_id, digest, file_name, events) \
             SELECT {source:String}, {digest:String}, {file:String}, {events:UInt64}",
        )
        .param("source", &import.source_id)
        .param("digest", &import.digest)
        .param("file", &import.file_name)
        .param("events", import.events);
    db::run(query, LOOKUP_TIMEOUT).await
}
