//! Encoded rows arrive as they were, in the columns the table has at run time.

use serde_json::json;
use weir_clickhouse::columns;
use weir_clickhouse::compress::Body;
use weir_clickhouse::rows::{EventEncoder, Events, FailedEncoder, FailedEvents, Table};

use crate::support::{TestDb, Writer, batch, encode, object, page_view, range, web};

/// Columns the server fills.
const LEFT_OUT: [&str; 1] = ["inserted_at"];

#[tokio::test]
async fn encoders_fill_every_column_the_tables_have() {
    let test = TestDb::migrated().await;
    let writer = Writer::new(&test).await;
    for (table, encoded) in [
        ("events", writer.events.columns()),
        ("failed_events", writer.failed.columns()),
        ("batches", writer.batches.columns()),
    ] {
        let mut there = columns::insertable(&test.db, table).await.unwrap();
        there.retain(|column| !LEFT_OUT.contains(&column.name.as_str()));
        assert_eq!(encoded, there, "{table}");
    }
}

#[tokio::test]
async fn every_column_holds_what_was_sent() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let mut event = page_view(5);
    event.properties = object(&json!({
        "date": "2024-01-01", "time": "2024-01-01T10:00:00Z", "big": u64::MAX, "small": i64::MIN, "float": 1.5,
        "nested": {"list": [1, "a", null, {"x": 1}]}, "nul": "a\u{0}b", "blank": "a\n\nb",
    }));
    event.is_bot = true;
    event.bot_reasons = vec!["agent".into(), "rate".into()];
    let rows = encode(&writer.events, &web(), 5, &[event]);
    writer
        .insert(&web(), range(5, 5), Body::lz4(&rows))
        .await
        .unwrap();

    let stored: String = test
        .db
        .admin()
        .query_raw("SELECT formatRowNoNewline('JSONEachRow', * EXCEPT inserted_at) FROM events")
        .fetch_one()
        .await
        .unwrap();
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parse(&stored), parse(STORED));
}

const STORED: &str = r#"{
    "stream": 1, "topic": "events.web", "partition": 0, "offset": 5, "key_hash": 5,
    "event_id": "00000000-0000-0000-0000-000000001005", "client_event_id": "",
    "source_id": "web", "platform": "web", "type": "page", "name": "page", "name_sent": "Home",
    "schema_version": "page/1-0-0", "ts": "2026-01-01 00:05:00.000", "received_at": "2026-01-01 00:05:00.002",
    "client_ts": "2026-01-01 00:05:00.001", "sent_at": "1970-01-01 00:00:00.000",
    "user_id": "", "anonymous_id": "anonymous-5", "group_id": "", "previous_id": "", "visitor_id": 6,
    "page_url": "https://example.com/2?q=1", "page_host": "example.com", "page_path": "/2", "page_query": "q=1",
    "page_title": "Ünïcode 🦀", "referrer": "https://search.example/", "referrer_host": "search.example",
    "utm_source": "news", "utm_medium": "mail", "utm_campaign": "january", "utm_term": "term",
    "utm_content": "content", "agent": "Mozilla/5.0", "browser": "Firefox", "browser_version": "140",
    "os": "Linux", "os_version": "6", "device": "Other", "is_bot": true, "bot_reasons": ["agent", "rate"],
    "locale": "de-DE", "address": "203.0.113.0", "library": "weir-js", "library_version": "1.0",
    "properties": {
        "date": "2024-01-01", "time": "2024-01-01T10:00:00Z", "big": 18446744073709551615,
        "small": -9223372036854775808, "float": 1.5, "nested": {"list": [1, "a", null, {"x": 1}]},
        "nul": "a\u0000b", "blank": "a\n\nb"
    },
    "context": "{\"screen\":{\"width\":800}}", "warnings": ["clock"]
}"#;

#[tokio::test]
async fn failures_keep_their_payload_byte_for_byte() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.failures(&web(), range(0, 9), &[3]).await;
    let (offset, reason, path, payload, version): (u64, String, String, String, String) = test
        .one("SELECT offset, reason, errors[1].path, hex(payload), processor_version FROM failed_events")
        .await;
    assert_eq!(
        (offset, reason.as_str(), path.as_str()),
        (3, "schema_invalid", "/properties/total")
    );
    assert_eq!(payload, "7B2261223A0A0AFF7D");
    assert_eq!(version, "0.1.0");
}

#[tokio::test]
async fn a_ledger_row_says_its_token() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.record(&[batch(&web(), range(10, 19))]).await;
    let row: (u64, u64, u64, String) = test
        .one("SELECT first, last, n_events, token FROM batches")
        .await;
    assert_eq!(row, (10, 19, 10, "1:events.web:0:10-19".to_owned()));
}

#[tokio::test]
async fn columns_weir_does_not_fill_are_left_to_their_defaults() {
    let test = TestDb::migrated().await;
    test.run("ALTER TABLE events ADD COLUMN extra UInt8 DEFAULT 7 FIRST, ADD COLUMN twice String MATERIALIZED upper(name)")
        .await;
    let mut writer = Writer::new(&test).await;
    assert!(writer.events.is_current(&test.db).await.unwrap());
    writer.page_views(&web(), range(0, 0)).await;
    let row: (u8, String) = test.one("SELECT extra, twice FROM events").await;
    assert_eq!(row, (7, "PAGE".to_owned()));
}

#[tokio::test]
async fn a_table_without_a_column_names_the_migration() {
    let test = TestDb::migrated().await;
    test.run("ALTER TABLE failed_events DROP COLUMN payload")
        .await;
    let error = FailedEncoder::load(&test.db).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "table failed_events lacks the columns payload, although all migrations were applied: it was changed by hand"
    );
    test.run("TRUNCATE TABLE schema_migrations").await;
    let error = FailedEncoder::load(&test.db).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "table failed_events lacks the columns payload: migration 0001_create_batches was not applied yet, \
         run `weir migrate up`"
    );
}

#[tokio::test]
async fn a_column_of_another_type_is_refused() {
    let test = TestDb::migrated().await;
    let before = EventEncoder::load(&test.db).await.unwrap();
    test.run("ALTER TABLE events MODIFY COLUMN page_title UInt64")
        .await;
    let error = EventEncoder::load(&test.db).await.err().unwrap();
    assert!(before.is_current(&test.db).await.is_err());
    assert!(
        error
            .to_string()
            .starts_with("column events.page_title is of type UInt64 instead of String"),
        "{error}"
    );
}

#[tokio::test]
async fn how_a_text_is_stored_is_the_operators_choice() {
    let test = TestDb::migrated().await;
    test.run("ALTER TABLE events MODIFY COLUMN page_title LowCardinality(String)")
        .await;
    let mut writer = Writer::new(&test).await;
    writer.page_views(&web(), range(0, 9)).await;
    assert_eq!(test.counts().await, (10, 10, 10));
}

#[tokio::test]
async fn a_missing_table_is_named() {
    let test = TestDb::migrated().await;
    test.run("DROP TABLE batches SYNC").await;
    let error = weir_clickhouse::rows::BatchEncoder::load(&test.db)
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().starts_with("there is no table batches"),
        "{error}"
    );
}

#[test]
fn tables_have_their_names() {
    assert_eq!(
        (Events::NAME, FailedEvents::NAME),
        ("events", "failed_events")
    );
}
