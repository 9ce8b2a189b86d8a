//! Deduplication windows: whether every table that an insert writes to would recognise a resend.
//!
//! A view's target without a window takes a resend twice, whatever the views' setting says. Somebody may add a view of
//! their own at any time, so this is looked up rather than trusted.

use std::collections::{BTreeSet, HashMap};

use clickhouse::Row;
use serde::Deserialize;

use crate::db::{self, Db};
use crate::error::Error;
use crate::rows::{Batches, Events, FailedEvents, Table};

/// A table that inserts write to, and how many parts it remembers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// Database and table, with a dot between.
    pub table: String,
    /// Parts it remembers; 0 for a table without deduplication.
    pub parts: u64,
}

#[derive(Row, Deserialize)]
struct Object {
    table: String,
    engine: String,
    engine_full: String,
    target: String,
    /// Views that read from it.
    views: Vec<String>,
}

/// Returns the window of every table that Weir's inserts reach, through views of views too, by name.
///
/// # Errors
///
/// Those of a read.
pub async fn windows(db: &Db) -> Result<Vec<Window>, Error> {
    let objects: Vec<Object> = db::rows(db.lookup(
        "SELECT concat(database, '.', name) AS table, engine, engine_full, \
         concat(target_database, '.', target_table) AS target, \
         arrayMap((d, t) -> concat(d, '.', t), dependencies_database, dependencies_table) AS views \
         FROM system.tables WHERE NOT is_temporary",
    ))
    .await?;
    let by_name: HashMap<&str, &Object> = objects
        .iter()
        .map(|object| (object.table.as_str(), object))
        .collect();

    let database = &db.config().database;
    let mut to_visit: Vec<String> = [Events::NAME, FailedEvents::NAME, Batches::NAME]
        .map(|table| format!("{database}.{table}"))
        .into();
    let mut visited = BTreeSet::new();
    let mut found = BTreeSet::new();
    while let Some(name) = to_visit.pop() {
        let Some(object) = by_name.get(name.as_str()) else {
            continue;
        };
        if !visited.insert(name) {
            continue;
        }
        if object.engine == "MaterializedView" {
            to_visit.push(object.target.clone());
        } else if object.engine.ends_with("MergeTree") {
            found.insert(Window {
                table: object.table.clone(),
                parts: window(&object.engine, &object.engine_full),
            });
        }
        to_visit.extend(object.views.iter().cloned());
    }
    Ok(found.into_iter().collect())
}

/// Reads the window off an engine's definition.
fn window(engine: &str, definition: &str) -> u64 {
    let (setting, default) = if engine.starts_with("Replicated") {
        // What a server has without further ado since 2024.
        (" replicated_deduplication_window = ", 10_000)
    } else {
        ("non_replicated_deduplication_window = ", 0)
    };
    let Some((_, value)) = definition.split_once(setting) else {
        return default;
    };
    let digits = value
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    digits.parse().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_read_off_the_engine() {
        let plain = "MergeTree ORDER BY x SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 8192";
        assert_eq!(window("MergeTree", plain), 100_000);
        assert_eq!(
            window(
                "MergeTree",
                "MergeTree ORDER BY x SETTINGS index_granularity = 8192"
            ),
            0
        );
        let replicated = "ReplicatedMergeTree('/p', '{replica}') ORDER BY x SETTINGS replicated_deduplication_window = 7";
        assert_eq!(window("ReplicatedMergeTree", replicated), 7);
        assert_eq!(
            window("ReplicatedMergeTree", "ReplicatedMergeTree ORDER BY x"),
            10_000
        );
    }
}
