//! A fresh database ends at the golden schema, and nothing else gets past the runner.

use std::path::Path;

use weir_clickhouse::migrate::{self, MigrateError, Migrations, Topology};

use crate::support::TestDb;

const ONE_NODE: Topology = Topology::SingleNode;

fn migrations(files: &[(&str, &str)]) -> Migrations {
    let owned = files
        .iter()
        .map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned()));
    Migrations::new(owned).unwrap()
}

#[tokio::test]
async fn a_fresh_database_has_the_golden_schema() {
    let test = TestDb::migrated().await;
    let dump = migrate::dump(&test.db).await.unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.sql");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &dump).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        dump == expected,
        "the schema differs from clickhouse/schema.sql; if that is meant, run\n\
         UPDATE_GOLDEN=1 cargo test -p weir-clickhouse golden_schema\n\
         and look at the difference:\n{}",
        difference(&expected, &dump)
    );
}

/// The lines that are not in both.
fn difference(expected: &str, found: &str) -> String {
    let lost = expected
        .lines()
        .filter(|line| !found.contains(line))
        .map(|line| format!("- {line}\n"));
    let gained = found
        .lines()
        .filter(|line| !expected.contains(line))
        .map(|line| format!("+ {line}\n"));
    lost.chain(gained).collect()
}

#[tokio::test]
async fn every_column_and_table_says_what_it_is() {
    let test = TestDb::migrated().await;
    let silent: Vec<String> = test
        .db
        .admin()
        .query_raw(
            "SELECT concat(table, '.', name) FROM system.columns WHERE database = currentDatabase() AND comment = '' \
             AND NOT endsWith(table, '_mv') \
             UNION ALL SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = ''",
        )
        .fetch_all()
        .await
        .unwrap();
    assert!(silent.is_empty(), "without a comment: {silent:?}");
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let test = TestDb::migrated().await;
    let all = Migrations::embedded().unwrap();
    let before = migrate::dump(&test.db).await.unwrap();
    let applied = migrate::up(&test.db, &all, &ONE_NODE, |_| ())
        .await
        .unwrap();
    assert!(applied.is_empty());
    assert_eq!(migrate::dump(&test.db).await.unwrap(), before);
    let status = migrate::status(&test.db, &all).await.unwrap();
    assert!(status.iter().all(|status| status.applied_at_ms.is_some()));
    // Nothing is left of the lock.
    let locks: u64 = test
        .one("SELECT count() FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'schema_lock')")
        .await;
    assert_eq!(locks, 0);
}

#[tokio::test]
async fn a_database_that_does_not_exist_has_everything_pending() {
    let test = TestDb::absent();
    let all = Migrations::embedded().unwrap();
    let pending = migrate::pending(&test.db, &all).await.unwrap();
    assert_eq!(pending, all.list());
}

#[tokio::test]
async fn a_file_that_changed_after_it_was_applied_is_refused() {
    let test = TestDb::absent();
    let first = migrations(&[(
        "0001_a.sql",
        "CREATE TABLE a (x UInt8) ENGINE = {merge_tree} ORDER BY x",
    )]);
    migrate::up(&test.db, &first, &ONE_NODE, |_| ())
        .await
        .unwrap();
    let edited = migrations(&[(
        "0001_a.sql",
        "CREATE TABLE a (y UInt8) ENGINE = {merge_tree} ORDER BY y",
    )]);
    let error = migrate::up(&test.db, &edited, &ONE_NODE, |_| ())
        .await
        .unwrap_err();
    assert!(
        matches!(error, MigrateError::Changed { version: 1, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_run_that_died_halfway_is_taken_up_again() {
    let test = TestDb::absent();
    let broken = migrations(&[
        (
            "0001_a.sql",
            "CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = {merge_tree} ORDER BY x",
        ),
        (
            "0002_b.sql",
            "CREATE TABLE IF NOT EXISTS b (x UInt8) ENGINE = {merge_tree} ORDER BY x; SELECT throwIf(1, 'crash')",
        ),
    ]);
    let error = migrate::up(&test.db, &broken, &ONE_NODE, |_| ())
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            MigrateError::Statement {
                version: 2,
                statement: 2,
                ..
            }
        ),
        "{error}"
    );
    let mended = migrations(&[
        (
            "0001_a.sql",
            "CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = {merge_tree} ORDER BY x",
        ),
        (
            "0002_b.sql",
            "CREATE TABLE IF NOT EXISTS b (x UInt8) ENGINE = {merge_tree} ORDER BY x; SELECT 1",
        ),
    ]);
    let applied = migrate::up(&test.db, &mended, &ONE_NODE, |_| ())
        .await
        .unwrap();
    assert_eq!(
        applied
            .iter()
            .map(|migration| migration.version)
            .collect::<Vec<_>>(),
        [2]
    );
}

#[tokio::test]
async fn two_runners_apply_each_migration_once() {
    let test = TestDb::absent();
    // Not re-runnable on purpose: a second application would fail.
    let all = migrations(&[
        (
            "0001_a.sql",
            "CREATE TABLE a (x UInt8) ENGINE = {merge_tree} ORDER BY x",
        ),
        (
            "0002_b.sql",
            "CREATE TABLE b (x UInt8) ENGINE = {merge_tree} ORDER BY x",
        ),
        (
            "0003_c.sql",
            "CREATE TABLE c (x UInt8) ENGINE = {merge_tree} ORDER BY x",
        ),
    ]);
    let run = || migrate::up(&test.db, &all, &ONE_NODE, |_| ());
    let (one, two, three) = tokio::join!(run(), run(), run());
    let applied = one.unwrap().len() + two.unwrap().len() + three.unwrap().len();
    assert_eq!(applied, 3);
}

#[tokio::test]
async fn a_lock_that_ran_out_is_taken_over() {
    let test = TestDb::absent();
    let nothing = migrations(&[]);
    migrate::up(&test.db, &nothing, &ONE_NODE, |_| ())
        .await
        .unwrap();
    test.run("CREATE TABLE schema_lock (nothing UInt8) ENGINE = MergeTree ORDER BY tuple() COMMENT 'process 1 (x) until 1000'")
        .await;
    let all = migrations(&[(
        "0001_a.sql",
        "CREATE TABLE a (x UInt8) ENGINE = {merge_tree} ORDER BY x",
    )]);
    let applied = migrate::up(&test.db, &all, &ONE_NODE, |_| ())
        .await
        .unwrap();
    assert_eq!(applied.len(), 1);
}

#[tokio::test]
async fn what_a_cluster_would_run_is_sql_too() {
    let test = TestDb::absent();
    let cluster = Topology::Cluster {
        name: "main".into(),
    };
    for migration in Migrations::embedded().unwrap().list() {
        for statement in migration.statements(&cluster).unwrap() {
            let formatted: String = test
                .db
                .admin()
                .clone()
                .with_database("default")
                .query_raw("SELECT formatQuery({statement:String})")
                .param("statement", &statement)
                .fetch_one()
                .await
                .unwrap_or_else(|error| panic!("{error}: {statement}"));
            assert!(
                formatted.contains("ON CLUSTER main") || formatted.contains("ON CLUSTER 'main'"),
                "{formatted}"
            );
        }
    }
}
