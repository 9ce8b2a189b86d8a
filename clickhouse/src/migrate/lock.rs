//! Keeps two migration runners apart.
//!
//! ClickHouse has no locks, but creating a table that exists fails, and so does renaming one to a name that is taken.
//! Who creates the table `schema_lock` holds the lock. Its comment says who that is and until when, by the server's
//! clock; the holder extends it while it works. A lock that ran out was left by a crash: whoever renames it away, to a
//! name made from its comment so that only one can, may create the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::MigrateError;
use crate::db::{self, Db, LOOKUP_TIMEOUT};
use crate::error::Error;

/// The table; names that begin with it are the runner's own.
pub(super) const TABLE: &str = "schema_lock";
const LEASE: Duration = Duration::from_secs(30);
const EXTEND_EVERY: Duration = Duration::from_secs(5);
const RETRY_EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(120);

const UNKNOWN_TABLE: u32 = 60;
const TABLE_ALREADY_EXISTS: u32 = 57;

/// A held lock.
pub(super) struct Lock {
    lost: Arc<AtomicBool>,
    extending: JoinHandle<()>,
}

/// Waits for the lock and takes it.
pub(super) async fn acquire(db: &Db) -> Result<Lock, MigrateError> {
    let me = format!("process {} ({})", std::process::id(), Uuid::new_v4());
    let begun = Instant::now();
    loop {
        if create(db, &me).await? {
            drop_abandoned(db).await?;
            return Ok(Lock::extended_by(db.clone(), me));
        }
        let Some(comment) = comment(db).await? else {
            continue;
        };
        if has_run_out(db, &comment).await? {
            take_away(db, &comment).await?;
        } else if begun.elapsed() > PATIENCE {
            return Err(MigrateError::Locked { holder: comment });
        } else {
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }
}

impl Lock {
    fn extended_by(db: Db, me: String) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&lost);
        let extending = tokio::spawn(async move {
            let mut extended = Instant::now();
            while extended.elapsed() < LEASE {
                tokio::time::sleep(EXTEND_EVERY).await;
                match extend(&db, &me).await {
                    Ok(true) => extended = Instant::now(),
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "the migration lock could not be extended, trying again")
                    }
                }
            }
            flag.store(true, Ordering::Release);
        });
        Self { lost, extending }
    }

    /// Returns an error when the lock was lost, so that nothing more must be changed.
    pub(super) fn check(&self) -> Result<(), MigrateError> {
        if self.lost.load(Ordering::Acquire) {
            return Err(MigrateError::Locked {
                holder: "this runner lost its lock".into(),
            });
        }
        Ok(())
    }

    /// Gives the lock back. When that fails it runs out by itself.
    pub(super) async fn release(self, db: &Db) {
        self.extending.abort();
        if self.lost.load(Ordering::Acquire) {
            return;
        }
        let dropped = db::run(
            db.admin()
                .query_raw(&format!("DROP TABLE IF EXISTS {TABLE} SYNC")),
            LOOKUP_TIMEOUT,
        );
        if let Err(error) = dropped.await {
            tracing::warn!(%error, "the migration lock could not be released, it runs out by itself");
        }
    }
}

impl Drop for Lock {
    /// A runner that was dropped midway must not hold the lock for as long as its process lives.
    fn drop(&mut self) {
        self.extending.abort();
    }
}

/// Returns whether the lock was free and is now ours.
async fn create(db: &Db, me: &str) -> Result<bool, Error> {
    let until = now_ms(db).await? + lease_ms();
    let create = format!(
        "CREATE TABLE {TABLE} (nothing UInt8) ENGINE = MergeTree ORDER BY tuple() COMMENT '{me} until {until}'"
    );
    match db::run(db.admin().query_raw(&create), LOOKUP_TIMEOUT).await {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some(TABLE_ALREADY_EXISTS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether the lock is still ours, and then holds it for longer.
async fn extend(db: &Db, me: &str) -> Result<bool, Error> {
    match comment(db).await? {
        Some(comment) if comment.starts_with(me) => {
            let until = now_ms(db).await? + lease_ms();
            let alter = format!("ALTER TABLE {TABLE} MODIFY COMMENT '{me} until {until}'");
            db::run(db.admin().query_raw(&alter), LOOKUP_TIMEOUT).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Moves a lock that ran out aside. Who is late finds the name taken, or nothing to move.
async fn take_away(db: &Db, comment: &str) -> Result<(), Error> {
    let aside = &blake3::hash(comment.as_bytes()).to_hex()[..16];
    let rename = format!("RENAME TABLE {TABLE} TO {TABLE}_{aside}");
    match db::run(db.admin().query_raw(&rename), LOOKUP_TIMEOUT).await {
        Err(error) if !matches!(error.code(), Some(UNKNOWN_TABLE | TABLE_ALREADY_EXISTS)) => {
            Err(error)
        }
        _ => {
            tracing::warn!(holder = comment, "took over a migration lock that ran out");
            Ok(())
        }
    }
}

/// Drops locks that earlier runners moved aside. One that was moved in this run stays: it keeps those who still
/// believe in it from moving ours.
async fn drop_abandoned(db: &Db) -> Result<(), Error> {
    let query = db.lookup(
            "SELECT name FROM system.tables WHERE database = {database:String} AND startsWith(name, {prefix:String}) \
             AND metadata_modification_time < now() - 3600",
        )
        .param("database", &db.config().database)
        .param("prefix", format!("{TABLE}_"));
    for name in db::rows::<String>(query).await? {
        db::run(
            db.admin()
                .query_raw(&format!("DROP TABLE IF EXISTS {name} SYNC")),
            LOOKUP_TIMEOUT,
        )
        .await?;
    }
    Ok(())
}

async fn comment(db: &Db) -> Result<Option<String>, Error> {
    let query = db.lookup("SELECT comment FROM system.tables WHERE database = {database:String} AND name = {table:String}")
        .param("database", &db.config().database)
        .param("table", TABLE);
    Ok(db::rows::<String>(query).await?.into_iter().next())
}

/// Reads the end off a comment. One that does not say is held for ever: a person has to look.
async fn has_run_out(db: &Db, comment: &str) -> Result<bool, Error> {
    let until = comment
        .rsplit_once("until ")
        .and_then(|(_, until)| until.parse::<i64>().ok());
    match until {
        Some(until) => Ok(now_ms(db).await? > until),
        None => Ok(false),
    }
}

async fn now_ms(db: &Db) -> Result<i64, Error> {
    db::row(db.lookup("SELECT toUnixTimestamp64Milli(now64(3))")).await
}

fn lease_ms() -> i64 {
    LEASE.as_secs().cast_signed() * 1000
}
