//! Migrations: numbered SQL files that are applied once, in order, for ever forward.
//!
//! A file that was applied never changes again; its checksum in `schema_migrations` is compared on every run. ClickHouse
//! has no transactions over DDL, so a file is written to be run again: a runner that dies halfway is followed by one
//! that begins the same file anew. Two runners at once are kept apart by a lock.

mod golden;
mod lock;
mod render;
mod split;

use std::time::Duration;

use clickhouse::Row;
use include_dir::{Dir, include_dir};
use serde::Deserialize;

use crate::db::{self, Db, LOOKUP_TIMEOUT};
use crate::error::Error;

pub use golden::dump;
pub use render::Topology;

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/migrations");

/// What one statement may take: a migration may rewrite columns.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3600);

const BOOKKEEPING: &str = "CREATE TABLE IF NOT EXISTS schema_migrations {on_cluster}
(
    version UInt32 COMMENT 'Number of the migration',
    name String COMMENT 'Its name',
    checksum String COMMENT 'blake3 of its file, in hex',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When its last statement was done, by the server''s clock'
)
ENGINE = {replacing_merge_tree:applied_at}
ORDER BY version
COMMENT 'Migrations that were applied'";

/// One migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number, from 1.
    pub version: u32,
    /// Its name: the file name between number and extension.
    pub name: String,
    /// blake3 of the file, in hex.
    pub checksum: String,
    sql: String,
}

/// All migrations, in order and without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrations(Vec<Migration>);

/// A migration and whether it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The migration.
    pub migration: Migration,
    /// When it was applied, Unix milliseconds by ClickHouse's clock; `None` when it is pending.
    pub applied_at_ms: Option<i64>,
}

/// Why migrations cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The files themselves are wrong.
    #[error("migration files: {0}")]
    Files(String),
    /// A file was edited after it was applied.
    #[error(
        "migration {version:04}_{name} was changed after it was applied: its checksum is {found}, applied was {applied}; \
         restore the file and put the change into a new migration"
    )]
    Changed {
        /// Its number.
        version: u32,
        /// Its name.
        name: String,
        /// Checksum of the file.
        found: String,
        /// Checksum in the database.
        applied: String,
    },
    /// The database was migrated by a later version of Weir.
    #[error(
        "the database has migration {version:04}_{name}, which this version of weir does not know; use a later one"
    )]
    Ahead {
        /// Number of the first unknown migration.
        version: u32,
        /// Its name.
        name: String,
    },
    /// A migration was left out although later ones were applied.
    #[error(
        "migration {version:04} was never applied although {later:04} was; the history of the database has a gap"
    )]
    Gap {
        /// Number of the missing migration.
        version: u32,
        /// Number of a later, applied one.
        later: u32,
    },
    /// Another runner is at work.
    #[error("another migration runner is at work: {holder}")]
    Locked {
        /// What the other runner wrote about itself.
        holder: String,
    },
    /// A statement failed. The file it is in will be run again from its beginning.
    #[error("migration {version:04}_{name}, statement {statement}")]
    Statement {
        /// Number of the migration; 0 for the runner's own table.
        version: u32,
        /// Its name.
        name: String,
        /// Which of its statements, from 1.
        statement: usize,
        /// What the server said.
        source: Error,
    },
    /// Reading or writing the bookkeeping failed.
    #[error(transparent)]
    Database(#[from] Error),
}

impl Migration {
    /// Returns the statements as they are run.
    ///
    /// # Errors
    ///
    /// [`MigrateError::Files`] when the file is not SQL that can be split, or names an unknown template variable.
    pub fn statements(&self, topology: &Topology) -> Result<Vec<String>, MigrateError> {
        let blame =
            |what| MigrateError::Files(format!("{:04}_{}: {what}", self.version, self.name));
        split::statements(&self.sql)
            .map_err(blame)?
            .into_iter()
            .map(|statement| topology.render(statement).map_err(blame))
            .collect()
    }
}

impl Migrations {
    /// Returns the migrations this version of Weir was built with.
    ///
    /// # Errors
    ///
    /// [`MigrateError::Files`] as [`Migrations::new`].
    pub fn embedded() -> Result<Self, MigrateError> {
        Self::new(EMBEDDED.files().map(|file| {
            let name = file.path().to_string_lossy().into_owned();
            (name, String::from_utf8_lossy(file.contents()).into_owned())
        }))
    }

    /// Makes the list from files: their names, such as `0001_create_events.sql`, and contents.
    ///
    /// # Errors
    ///
    /// [`MigrateError::Files`] when a name is of another form, or a number is missing or there twice.
    pub fn new(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, MigrateError> {
        let mut list = files
            .into_iter()
            .map(|(file, sql)| Migration::from_file(&file, sql))
            .collect::<Result<Vec<_>, _>>()?;
        list.sort_by_key(|migration| migration.version);
        for (migration, expected) in list.iter().zip(1..) {
            if migration.version != expected {
                return Err(MigrateError::Files(format!(
                    "expected number {expected:04}, found {:04}_{}",
                    migration.version, migration.name
                )));
            }
        }
        Ok(Self(list))
    }

    /// Returns the migrations in order.
    pub fn list(&self) -> &[Migration] {
        &self.0
    }
}

impl Migration {
    fn from_file(file: &str, sql: String) -> Result<Self, MigrateError> {
        let parts = file
            .strip_suffix(".sql")
            .and_then(|stem| stem.split_once('_'));
        let version =
            parts.and_then(|(number, _)| (number.len() == 4).then(|| number.parse().ok())?);
        let (Some((_, name)), Some(version)) = (parts, version) else {
            return Err(MigrateError::Files(format!(
                "{file} is not named like 0001_create_events.sql"
            )));
        };
        Ok(Self {
            version,
            name: name.to_owned(),
            checksum: blake3::hash(sql.as_bytes()).to_hex().to_string(),
            sql,
        })
    }
}

#[derive(Clone, Debug, Row, Deserialize)]
struct Applied {
    version: u32,
    name: String,
    checksum: String,
    applied_at_ms: i64,
}

/// Returns every migration with its state. A database without any tables has none applied.
///
/// # Errors
///
/// The refusals of [`MigrateError`] and those of a read.
pub async fn status(db: &Db, migrations: &Migrations) -> Result<Vec<Status>, MigrateError> {
    compare(migrations, applied(db).await?)
}

/// Applies the pending migrations, creating the database first if need be, and returns them. `announce` is called
/// before each.
///
/// # Errors
///
/// The refusals of [`MigrateError`], before anything is changed; [`MigrateError::Locked`] when another runner does not
/// finish within two minutes; [`MigrateError::Statement`] when a statement fails.
///
/// # Cancel safety
///
/// As a crash: the file at hand is run again next time.
pub async fn up(
    db: &Db,
    migrations: &Migrations,
    topology: &Topology,
    mut announce: impl FnMut(&Migration),
) -> Result<Vec<Migration>, MigrateError> {
    create_database(db, topology).await?;
    let lock = lock::acquire(db).await?;
    let outcome = async {
        let own = topology.render(BOOKKEEPING).map_err(MigrateError::Files)?;
        execute(db, &own)
            .await
            .map_err(|source| MigrateError::Statement {
                version: 0,
                name: "schema_migrations".into(),
                statement: 1,
                source,
            })?;
        let mut done = Vec::new();
        for pending in pending(db, migrations).await? {
            announce(&pending);
            apply(db, &pending, topology, &lock).await?;
            done.push(pending);
        }
        Ok(done)
    }
    .await;
    lock.release(db).await;
    outcome
}

/// Returns the migrations that are not applied yet.
///
/// # Errors
///
/// As [`status`].
pub async fn pending(db: &Db, migrations: &Migrations) -> Result<Vec<Migration>, MigrateError> {
    let all = status(db, migrations).await?;
    Ok(all
        .into_iter()
        .filter(|status| status.applied_at_ms.is_none())
        .map(|status| status.migration)
        .collect())
}

async fn apply(
    db: &Db,
    migration: &Migration,
    topology: &Topology,
    lock: &lock::Lock,
) -> Result<(), MigrateError> {
    for (statement, number) in migration.statements(topology)?.iter().zip(1..) {
        lock.check()?;
        execute(db, statement)
            .await
            .map_err(|source| MigrateError::Statement {
                version: migration.version,
                name: migration.name.clone(),
                statement: number,
                source,
            })?;
    }
    let record = db
        .lookup(
            "INSERT INTO schema_migrations (version, name, checksum) \
             SELECT {version:UInt32}, {name:String}, {checksum:String}",
        )
        .param("version", migration.version)
        .param("name", &migration.name)
        .param("checksum", &migration.checksum);
    Ok(db::run(record, LOOKUP_TIMEOUT).await?)
}

async fn create_database(db: &Db, topology: &Topology) -> Result<(), MigrateError> {
    let name = db.config().database.replace('`', "``");
    let statement = topology
        .render(&format!(
            "CREATE DATABASE IF NOT EXISTS `{name}` {{on_cluster}}"
        ))
        .map_err(MigrateError::Files)?;
    let anywhere = db.admin().clone().with_database("default");
    Ok(db::run(anywhere.query_raw(&statement), LOOKUP_TIMEOUT).await?)
}

async fn execute(db: &Db, statement: &str) -> Result<(), Error> {
    db::run(db.admin().query_raw(statement), STATEMENT_TIMEOUT).await
}

async fn applied(db: &Db) -> Result<Vec<Applied>, Error> {
    let tables = db
        .admin()
        .clone()
        .with_database("default")
        .query_raw(
            "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'",
        )
        .param("database", &db.config().database);
    if db::row::<u64>(tables).await? == 0 {
        return Ok(Vec::new());
    }
    db::rows(db.lookup(
        "SELECT version, name, checksum, toUnixTimestamp64Milli(applied_at) AS applied_at_ms \
         FROM schema_migrations FINAL ORDER BY version",
    ))
    .await
}

/// Lays what was applied beside what there is.
fn compare(migrations: &Migrations, applied: Vec<Applied>) -> Result<Vec<Status>, MigrateError> {
    let mut all: Vec<Status> = migrations
        .0
        .iter()
        .map(|migration| Status {
            migration: migration.clone(),
            applied_at_ms: None,
        })
        .collect();
    for Applied {
        version,
        name,
        checksum,
        applied_at_ms,
    } in applied
    {
        let Some(status) = all
            .iter_mut()
            .find(|status| status.migration.version == version)
        else {
            return Err(MigrateError::Ahead { version, name });
        };
        if status.migration.checksum != checksum {
            return Err(MigrateError::Changed {
                version,
                name,
                found: status.migration.checksum.clone(),
                applied: checksum,
            });
        }
        status.applied_at_ms = Some(applied_at_ms);
    }
    let last = all
        .iter()
        .rev()
        .find(|status| status.applied_at_ms.is_some());
    let later = last.map_or(0, |status| status.migration.version);
    match all.iter().find(|status| status.applied_at_ms.is_none()) {
        Some(missing) if missing.migration.version < later => Err(MigrateError::Gap {
            version: missing.migration.version,
            later,
        }),
        _ => Ok(all),
    }
}

/// Adds to the message about a table that does not fit what migrations have to do with it.
pub(crate) async fn explain(db: &Db, message: String) -> String {
    let state = async { pending(db, &Migrations::embedded()?).await }.await;
    match state {
        Ok(pending) => match pending.first() {
            Some(first) => format!(
                "{message}: migration {:04}_{} was not applied yet, run `weir migrate up`",
                first.version, first.name
            ),
            None => {
                format!("{message}, although all migrations were applied: it was changed by hand")
            }
        },
        Err(error) => format!("{message}: {error}"),
    }
}

#[cfg(test)]
mod tests;
