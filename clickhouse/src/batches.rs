//! Adding rows to the ledger.

use std::time::Duration;

use crate::compress::Body;
use crate::insert::{Connection, InsertError, InsertRequest};
use crate::rows::{BatchEncoder, BatchRow, Batches, Table};

/// Records batches in the ledger, all in one insert. Doing so again is harmless.
///
/// # Errors
///
/// Those of [`Connection::insert`], never [`InsertError::Withheld`].
pub async fn record(
    connection: &mut Connection,
    encoder: &BatchEncoder,
    batches: &[BatchRow],
    timeout: Duration,
) -> Result<(), InsertError> {
    let Some(first) = batches.first() else {
        return Ok(());
    };
    let mut rows = Vec::new();
    for batch in batches {
        encoder.encode(batch, &mut rows);
    }
    // Several partitions' rows go together differently after a crash. The table replaces repeated rows, so the token
    // only has to differ between inserts that differ.
    let digest = blake3::hash(&rows).to_hex();
    let insert = InsertRequest {
        table: Batches::NAME,
        columns: encoder.column_list(),
        token: format!(
            "{}:{}:{}:{digest}",
            first.source,
            first.range,
            Batches::NAME
        ),
        query_id: first
            .source
            .query_id(first.range, Batches::NAME, uuid::Uuid::new_v4()),
        body: Body::plain(rows),
        timeout,
    };
    connection.insert(&insert, || true).await.map(|_| ())
}
