//! A handle on the database: one client for the owner of the tables, one for readers.
//!
//! Rows are never written through it, they go through [`crate::insert`].

use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use clickhouse::query::Query;
use clickhouse::{RowOwned, RowRead};

use crate::config::ClickHouseConfig;
use crate::error::Error;
use crate::insert::Inserter;

/// What a short look-up may take, server and network together.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(60);
/// What a read over many rows may take: loading state, verifying.
pub const SCAN_TIMEOUT: Duration = Duration::from_secs(600);

/// A handle on Weir's database. Cloning is cheap and shares connections.
#[derive(Clone, Debug)]
pub struct Db {
    config: Arc<ClickHouseConfig>,
    admin: Client,
    reader: Client,
}

impl Db {
    /// Creates a handle. No connection is made yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the URL is not one of HTTP.
    pub fn new(config: &ClickHouseConfig) -> Result<Self, Error> {
        crate::insert::check_url(&config.url)?;
        let client = |user: &str, password: &str| {
            let client = Client::default()
                .with_url(&config.url)
                .with_database(&config.database)
                .with_product_info("weir", env!("CARGO_PKG_VERSION"))
                .with_user(user);
            if password.is_empty() {
                client
            } else {
                client.with_password(password)
            }
        };
        let admin = client(&config.user, &config.password);
        let reader = if config.reader_user.is_empty() {
            admin.clone()
        } else {
            client(&config.reader_user, &config.reader_password)
        };
        Ok(Self {
            config: Arc::new(config.clone()),
            admin,
            reader,
        })
    }

    /// Returns the settings the handle was made from.
    pub fn config(&self) -> &ClickHouseConfig {
        &self.config
    }

    /// Returns the client of the tables' owner.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// Returns the client of the reader, which may change nothing, not even a setting.
    pub fn reader(&self) -> &Client {
        &self.reader
    }

    /// Prepares a look-up of the tables' owner: a query with parameters such as `{topic:String}`, that the server gives
    /// up when nobody waits for it any more.
    pub(crate) fn lookup(&self, sql: &str) -> Query {
        let limit = LOOKUP_TIMEOUT.as_secs().to_string();
        self.admin
            .query_raw(sql)
            .with_setting("max_execution_time", limit)
    }

    /// Returns a maker of insert connections for the tables' owner.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the URL or the credentials cannot be sent over HTTP.
    pub fn inserter(&self) -> Result<Inserter, Error> {
        Inserter::new(&self.config)
    }

    /// Checks that the server answers the tables' owner.
    ///
    /// # Errors
    ///
    /// Transport errors and refused credentials.
    pub async fn ping(&self) -> Result<(), Error> {
        // Without the database, which the first migration has yet to create.
        let client = self.admin.clone().with_database("default");
        let one: u8 = within(LOOKUP_TIMEOUT, client.query("SELECT 1").fetch_one()).await?;
        if one == 1 {
            Ok(())
        } else {
            Err(Error::Answer(format!("SELECT 1 gave {one}")))
        }
    }
}

/// Runs a call of the `clickhouse` crate, which has no deadline of its own, within `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = clickhouse::error::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, call).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::Timeout { after: limit }),
    }
}

/// Runs a read over many rows and returns what it gives.
pub(crate) async fn scan<T: RowOwned + RowRead>(query: Query) -> Result<Vec<T>, Error> {
    let limit = SCAN_TIMEOUT.as_secs().to_string();
    let query = query.with_setting("max_execution_time", limit);
    within(SCAN_TIMEOUT, query.fetch_all()).await
}

/// Runs a look-up and returns all of its rows.
pub(crate) async fn rows<T: RowOwned + RowRead>(query: Query) -> Result<Vec<T>, Error> {
    within(LOOKUP_TIMEOUT, query.fetch_all()).await
}

/// Runs a look-up that gives exactly one row.
pub(crate) async fn row<T: RowOwned + RowRead>(query: Query) -> Result<T, Error> {
    within(LOOKUP_TIMEOUT, query.fetch_one()).await
}

/// Runs a statement that gives no rows.
pub(crate) async fn run(query: Query, limit: Duration) -> Result<(), Error> {
    within(limit, query.execute()).await
}
