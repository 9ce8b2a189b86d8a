//! Inserts that are still at work are seen, waited for and killed.

use std::time::Duration;

use weir_clickhouse::compress::Body;
use weir_clickhouse::insert::InsertError;
use weir_clickhouse::{Class, running};

use crate::support::{TestDb, Writer, encode, page_view, range, request, web};

/// A view that makes an insert last, so that it can be met while it runs.
async fn with_slow_view(test: &TestDb) {
    test.run("CREATE TABLE slow (x UInt64) ENGINE = MergeTree ORDER BY x")
        .await;
    test.run("CREATE MATERIALIZED VIEW slow_mv TO slow AS SELECT offset + sleepEachRow(0.1) AS x FROM events").await;
}

#[tokio::test]
async fn a_running_insert_is_seen_killed_and_gone() {
    let test = TestDb::migrated().await;
    with_slow_view(&test).await;
    let mut writer = Writer::new(&test).await;
    let events: Vec<_> = (0..25).map(page_view).collect();
    let rows = encode(&writer.events, &web(), 0, &events);
    // Other tests' partitions have the same name.
    let source = weir_clickhouse::SourcePartition::new(1, test.db.config().database.as_str(), 0);
    let insert = request(&writer.events, &source, range(0, 24), Body::lz4(&rows));
    let prefix = source.query_id_prefix();

    let (outcome, ()) = tokio::join!(writer.connection.insert(&insert, || true), async {
        while running::queries(&test.db, &prefix)
            .await
            .unwrap()
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
        running::wait_until_none(&test.db, &prefix, Duration::ZERO)
            .await
            .unwrap();
        assert!(
            running::queries(&test.db, &prefix)
                .await
                .unwrap()
                .is_empty()
        );
    });
    match outcome {
        Err(InsertError::Failed(error)) => {
            assert_eq!(
                (error.class(), error.code()),
                (Class::Killed, Some(394)),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
    // Whatever it had written by then: the same bytes again make it whole.
    test.run("DROP VIEW slow_mv").await;
    for _ in 0..2 {
        let mut connection = test.db.inserter().unwrap().connect().await.unwrap();
        connection.insert(&insert, || true).await.unwrap();
        assert_eq!(test.counts().await, (25, 25, 25));
    }
}

#[tokio::test]
async fn a_running_insert_is_waited_for() {
    let test = TestDb::migrated().await;
    with_slow_view(&test).await;
    let mut writer = Writer::new(&test).await;
    let source = weir_clickhouse::SourcePartition::new(1, test.db.config().database.as_str(), 0);
    let events: Vec<_> = (0..10).map(page_view).collect();
    let rows = encode(&writer.events, &source, 0, &events);
    let insert = request(&writer.events, &source, range(0, 9), Body::lz4(&rows));
    let prefix = source.query_id_prefix();
    let (outcome, ()) = tokio::join!(writer.connection.insert(&insert, || true), async {
        while running::queries(&test.db, &prefix)
            .await
            .unwrap()
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
        running::wait_until_none(&test.db, &prefix, Duration::from_secs(60))
            .await
            .unwrap();
    });
    outcome.unwrap();
    assert_eq!(test.one::<u64>("SELECT count() FROM slow").await, 10);
}
