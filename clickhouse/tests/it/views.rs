//! Rollups: filled by inserts, left out by a view that throws, healed by a resend.

use weir_clickhouse::compress::Body;
use weir_clickhouse::insert::InsertError;
use weir_clickhouse::{Class, readback};

use crate::support::{TestDb, Writer, encode, page_view, range, web};

/// A view that cannot take offset 3, between those of the rollups and by its name before them.
const THROWING_VIEW: &str = "CREATE MATERIALIZED VIEW a_mv TO a AS SELECT offset AS x FROM events \
    WHERE throwIf(offset = 3, '(at row 1)\n: While executing BinaryRowInputFormat. (INCORRECT_DATA)') = 0";

async fn with_throwing_view(test: &TestDb) {
    test.run("CREATE TABLE a (x UInt64) ENGINE = MergeTree ORDER BY x SETTINGS non_replicated_deduplication_window = 1000")
        .await;
    test.run(THROWING_VIEW).await;
}

async fn mend_view(test: &TestDb) {
    test.run("ALTER TABLE a_mv MODIFY QUERY SELECT offset AS x FROM events")
        .await;
}

#[tokio::test]
async fn views_count_what_the_events_say() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let mut events: Vec<_> = (0..30).map(page_view).collect();
    events[29].r#type = weir_event::EventType::Track;
    events[28].is_bot = true;
    let rows = encode(&writer.events, &web(), 0, &events);
    writer
        .insert(&web(), range(0, 29), Body::lz4(&rows))
        .await
        .unwrap();
    let traffic: Vec<(bool, u32, u64, u64)> = test
        .db
        .admin()
        .query_raw(
            "SELECT is_bot, toUnixTimestamp(bucket), sum(views), uniqCombined64Merge(visitors) FROM traffic_15m \
             GROUP BY is_bot, bucket ORDER BY is_bot, bucket",
        )
        .fetch_all()
        .await
        .unwrap();
    let new_year = 1_767_225_600;
    assert_eq!(
        traffic,
        [
            (false, new_year, 15, 7),
            (false, new_year + 900, 13, 7),
            (true, new_year + 900, 1, 1)
        ]
    );
    let pages: Vec<(String, u64)> = test
        .db
        .admin()
        .query_raw(
            "SELECT page_path, sum(views) FROM pages_15m GROUP BY page_path ORDER BY page_path",
        )
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(
        pages,
        [
            ("/0".to_owned(), 10),
            ("/1".to_owned(), 10),
            ("/2".to_owned(), 9)
        ]
    );
}

#[tokio::test]
async fn an_error_in_a_view_blames_no_row_and_a_resend_heals() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    with_throwing_view(&test).await;
    let events: Vec<_> = (0..10).map(page_view).collect();
    let rows = encode(&writer.events, &web(), 0, &events);
    for _ in 0..2 {
        match writer.insert(&web(), range(0, 9), Body::lz4(&rows)).await {
            Err(InsertError::Failed(error)) => assert_eq!(error.class(), Class::Stop, "{error}"),
            other => panic!("{other:?}"),
        }
    }
    // The base table has the rows, some of the views do not.
    assert_eq!(test.one::<u64>("SELECT count() FROM events").await, 10);
    assert_eq!(test.one::<u64>("SELECT count() FROM a").await, 0);

    mend_view(&test).await;
    for _ in 0..2 {
        writer
            .insert(&web(), range(0, 9), Body::lz4(&rows))
            .await
            .unwrap();
        assert_eq!(test.counts().await, (10, 10, 10));
        assert_eq!(test.one::<u64>("SELECT count() FROM a").await, 10);
    }
}

#[tokio::test]
async fn rows_read_back_heal_a_view_and_change_nothing_else() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    with_throwing_view(&test).await;
    let mut events: Vec<_> = (0..10).map(page_view).collect();
    // As text, this number would come back as an integer that the JSON type refuses.
    events[4].properties =
        crate::support::object(&serde_json::json!({"huge": 1e20, "day": "2024-01-01"}));
    let rows = encode(&writer.events, &web(), 0, &events);
    let failed = writer.insert(&web(), range(0, 9), Body::lz4(&rows)).await;
    assert!(failed.is_err());
    mend_view(&test).await;

    let sent = readback::encoded(&writer.events, &rows).unwrap();
    let stored = readback::events(&test.db, &writer.events, &web(), range(0, 9))
        .await
        .unwrap();
    assert_eq!(stored, sent);
    let body = readback::body(&test.db, &writer.events, &web(), range(0, 9))
        .await
        .unwrap();
    for _ in 0..2 {
        writer
            .insert(&web(), range(0, 9), body.clone())
            .await
            .unwrap();
        assert_eq!(test.counts().await, (10, 10, 10));
        assert_eq!(test.one::<u64>("SELECT count() FROM a").await, 10);
    }
    assert_eq!(
        readback::events(&test.db, &writer.events, &web(), range(0, 9))
            .await
            .unwrap(),
        sent
    );
}

#[tokio::test]
async fn a_view_over_a_missing_table_stops() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    test.run("DROP TABLE pages_15m SYNC").await;
    let rows = encode(&writer.events, &web(), 0, &[page_view(0)]);
    match writer.insert(&web(), range(0, 0), Body::lz4(&rows)).await {
        Err(InsertError::Failed(error)) => {
            assert_eq!(
                (error.class(), error.code()),
                (Class::Stop, Some(60)),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}
