//! Inserts that the server may still be working on.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use tokio::time::Instant;

use crate::db::{self, Db, LOOKUP_TIMEOUT};
use crate::error::Error;

const POLL: Duration = Duration::from_millis(100);

/// A query the server works on.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct Running {
    /// Its id.
    pub query_id: String,
    /// For how long, in seconds.
    pub elapsed: f64,
}

/// Returns the running queries whose id begins with `prefix`: [`crate::SourcePartition::query_id_prefix`].
///
/// # Errors
///
/// Those of a read.
pub async fn queries(db: &Db, prefix: &str) -> Result<Vec<Running>, Error> {
    let query = db.lookup("SELECT query_id, elapsed FROM system.processes WHERE startsWith(query_id, {prefix:String})")
        .param("prefix", prefix);
    db::rows(query).await
}

/// Kills the running queries whose id begins with `prefix`. Returns when they are gone, or when the server gave up
/// waiting for them: look again.
///
/// # Errors
///
/// Those of a statement.
pub async fn kill(db: &Db, prefix: &str) -> Result<(), Error> {
    // KILL QUERY takes no query parameters.
    let kill = db
        .admin()
        .query("KILL QUERY WHERE startsWith(query_id, ?) SYNC")
        .bind(prefix);
    db::run(kill, LOOKUP_TIMEOUT).await
}

/// Waits until no query whose id begins with `prefix` runs. After `patience` those that still do are killed.
///
/// # Errors
///
/// [`Error::Timeout`] when some outlive even that by a minute; else those of a read.
pub async fn wait_until_none(db: &Db, prefix: &str, patience: Duration) -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        if queries(db, prefix).await?.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > patience {
            kill(db, prefix).await?;
        }
        if begun.elapsed() > patience + LOOKUP_TIMEOUT {
            return Err(Error::Timeout {
                after: begun.elapsed(),
            });
        }
        tokio::time::sleep(POLL).await;
    }
}
