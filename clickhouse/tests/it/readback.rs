//! Stored rows come back as the bytes an insert takes.

use serde_json::json;
use weir_clickhouse::compress::Body;
use weir_clickhouse::{readback, stored};

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

#[tokio::test]
async fn stored_events_come_back_in_their_canonical_form() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let mut events: Vec<_> = (0..3).map(page_view).collect();
    events[0].properties = object(&json!({
        "time": "2024-01-01T10:00:00Z", "day": "2024-01-01", "big": u64::MAX, "float": 1.5, "list": [1, "a", {"x": true}],
    }));
    events[0].context =
        object(&json!({"since": "2024-01-01T10:00:00Z", "a.b": 1, "a": {"b": null}}));
    events[1].context = object(&json!({}));
    events[1].client_ts_ms = None;
    events[1].sent_at_ms = Some(1);
    events[2].is_bot = true;
    events[2].bot_reasons = vec!["agent".into()];
    events[2].visitor_id = u64::MAX;
    let rows = encode(&writer.events, &web(), 7, &events);
    writer
        .insert(&web(), range(7, 9), Body::lz4(&rows))
        .await
        .unwrap();
    let found = stored::canonical(&test.db, &web(), range(0, 20))
        .await
        .unwrap();
    assert_eq!(found, (7..).zip(events.clone()).collect::<Vec<_>>());
    let ids = stored::ids(&test.db, &web(), range(8, 20)).await.unwrap();
    let ids: Vec<_> = ids
        .into_iter()
        .map(|(offset, seen)| (offset, seen.event_id))
        .collect();
    assert_eq!(ids, [(8, events[1].event_id), (9, events[2].event_id)]);
}
