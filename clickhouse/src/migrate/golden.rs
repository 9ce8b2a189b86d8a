//! A dump of the schema, to compare with what it should be.

use clickhouse::Row;
use serde::Deserialize;

use crate::db::{self, Db};
use crate::error::Error;

const HEADER: &str =
    "-- Every table and view after all migrations. Not to be edited, but to be written anew by
-- UPDATE_GOLDEN=1 cargo test -p weir-clickhouse golden_schema
";

#[derive(Row, Deserialize)]
struct Object {
    create_table_query: String,
}

/// Returns the statements that create every table and view of the database, ordered by name, without the name of the
/// database. Equal schemas give equal dumps.
///
/// # Errors
///
/// Those of a read.
pub async fn dump(db: &Db) -> Result<String, Error> {
    let objects: Vec<Object> = db::rows(
        db.lookup(
                "SELECT formatQuery(create_table_query) AS create_table_query FROM system.tables \
                 WHERE database = {database:String} AND NOT startsWith(name, {lock:String}) ORDER BY name",
            )
            .param("database", &db.config().database)
            .param("lock", super::lock::TABLE),
    )
    .await?;
    let database = &db.config().database;
    let mut dump = HEADER.to_owned();
    for object in objects {
        let statement = object
            .create_table_query
            .replace(&format!("`{database}`."), "")
            .replace(&format!(" {database}."), " ");
        dump.push('\n');
        dump.push_str(&statement);
        dump.push_str(";\n");
    }
    Ok(dump)
}
