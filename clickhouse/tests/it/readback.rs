//! Stored rows come back as the bytes an insert takes.

use serde_json::json;
use weir_clickhouse::compress::Body;
use weir_clickhouse::readback;

use crate::support::{TestDb, Writer, encode, object, page_view, range, web};

#[tokio::test]
async fn rows_read_back_and_stored_again_are_the_same() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let mut events: Vec<_> = (0..6).map(page_view).collect();
    for (event, properties) in events.iter_mut().zip([
        json!({"whole": 1.0, "huge": 1e20, "minus": -0.0, "tiny": 1e-300}),
        json!({"list": [1, 2.5, "a", null, {"x": [true]}], "empty": [], "none": null}),
        json!({"whole": "text now", "": 1, "a b": {"c-d": "e"}}),
        json!({}),
        json!({"time": "2024-01-01T10:00:00Z", "number": "12"}),
        json!({"big": u64::MAX, "small": i64::MIN}),
    ]) {
        event.properties = object(&properties);
    }
    let rows = encode(&writer.events, &web(), 0, &events);
    writer
        .insert(&web(), range(0, 5), Body::lz4(&rows))
        .await
        .unwrap();
    let first = test.one::<String>(ALL).await;
    let body = readback::body(&test.db, &writer.events, &web(), range(0, 5))
        .await
        .unwrap();

    test.run("TRUNCATE TABLE events").await;
    // Not the token of before, which is remembered.
    writer.insert(&web(), range(0, 6), body).await.unwrap();
    assert_eq!(test.one::<String>(ALL).await, first);
}

const ALL: &str = "SELECT toString(groupArray((offset, toString(properties), JSONAllPathsWithTypes(properties)))) \
    FROM (SELECT * FROM events ORDER BY offset)";

#[tokio::test]
async fn only_rows_of_the_range_and_partition_are_read() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let other = weir_clickhouse::SourcePartition::new(1, "events.web", 1);
    writer.page_views(&web(), range(0, 9)).await;
    writer.page_views(&web(), range(10, 19)).await;
    writer.page_views(&other, range(0, 9)).await;
    let stored = readback::events(&test.db, &writer.events, &web(), range(5, 12))
        .await
        .unwrap();
    assert_eq!(stored.offsets, (5..=12).collect::<Vec<_>>());
    let none = readback::events(&test.db, &writer.events, &web(), range(20, 29))
        .await
        .unwrap();
    assert!(none.offsets.is_empty());
}

#[tokio::test]
async fn another_rows_set_has_another_hash() {
    let test = TestDb::migrated().await;
    let writer = Writer::new(&test).await;
    let rows = |title: &str| {
        let mut event = page_view(0);
        event.page_title = title.to_owned();
        readback::encoded(&writer.events, &encode(&writer.events, &web(), 0, &[event])).unwrap()
    };
    assert_eq!(rows("a"), rows("a"));
    assert_ne!(rows("a"), rows("b"));
    assert_eq!(rows("a").offsets, rows("b").offsets);
    let cut = encode(&writer.events, &web(), 0, &[page_view(0)]);
    assert!(readback::encoded(&writer.events, &cut[..cut.len() - 1]).is_err());
}
