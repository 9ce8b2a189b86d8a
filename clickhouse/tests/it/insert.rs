//! One insert: one part, one token, a failure that is judged and never retried.

use std::time::Duration;

use serde_json::json;
use weir_clickhouse::compress::Body;
use weir_clickhouse::insert::{InsertError, InsertRequest};
use weir_clickhouse::{Class, ClickHouseConfig, Db, Error};

use crate::support::{TestDb, Writer, encode, object, page_view, range, request, web};

pub(crate) fn class(result: Result<impl std::fmt::Debug, InsertError>) -> (Class, Error) {
    match result {
        Err(InsertError::Failed(error)) => (error.class(), error),
        other => panic!("expected a failed insert, got {other:?}"),
    }
}

#[tokio::test]
async fn a_hundred_thousand_rows_become_one_part() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let mut event = page_view(0);
    event.properties = object(&json!({"text": "blank\n\nlines\n\n"}));
    let events = vec![event; 100_000];
    let rows = encode(&writer.events, &web(), 0, &events);
    let body = Body::lz4(&rows);
    assert!(body.wire_bytes() < rows.len() / 5);
    let summary = writer.insert(&web(), range(0, 99_999), body).await.unwrap();
    assert!(summary.written_rows >= 100_000, "{summary:?}");
    let parts: u64 = test.one("SELECT uniqExact(_part) FROM events").await;
    assert_eq!(
        (test.counts().await, parts),
        ((100_000, 100_000, 100_000), 1)
    );
}

#[tokio::test]
async fn plain_and_compressed_bodies_store_the_same() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let rows = encode(&writer.events, &web(), 0, &[page_view(0)]);
    writer
        .insert(&web(), range(0, 0), Body::plain(rows))
        .await
        .unwrap();
    let rows = encode(&writer.events, &web(), 1, &[page_view(0)]);
    writer
        .insert(&web(), range(1, 1), Body::lz4(&rows))
        .await
        .unwrap();
    let distinct: u64 = test
        .one("SELECT uniqExact(formatRow('RowBinary', * EXCEPT (offset, key_hash, inserted_at))) FROM events")
        .await;
    assert_eq!(distinct, 1);
}

#[tokio::test]
async fn a_resend_changes_nothing() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.page_views(&web(), range(0, 29)).await;
    let before = test.counts().await;
    writer.page_views(&web(), range(0, 29)).await;
    assert_eq!(before, (30, 30, 30));
    assert_eq!(test.counts().await, before);
}

#[tokio::test]
async fn equal_rows_under_other_tokens_are_all_stored() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let rows = encode(&writer.events, &web(), 0, &[page_view(0)]);
    writer
        .insert(&web(), range(0, 0), Body::lz4(&rows))
        .await
        .unwrap();
    writer
        .insert(&web(), range(1, 1), Body::lz4(&rows))
        .await
        .unwrap();
    assert_eq!(test.counts().await, (2, 2, 2));
}

#[tokio::test]
async fn an_unreadable_row_is_named_and_nothing_is_stored() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let mut rows = encode(&writer.events, &web(), 0, &[page_view(0), page_view(1)]);
    let good = rows.len();
    rows.extend(encode(
        &writer.events,
        &web(),
        2,
        &[page_view(2), page_view(3)],
    ));
    // The title "x" becomes the text of another object, equally long.
    let at = good + find(&rows[good..], br#""title":"x""#);
    rows[at..at + 11].copy_from_slice(br#""title":"\ "#);
    let (class, error) = class(writer.insert(&web(), range(0, 3), Body::lz4(&rows)).await);
    assert_eq!(class, Class::UnreadableRow { row: Some(2) }, "{error}");
    assert_eq!(test.counts().await, (0, 0, 0));
    // The connection goes on.
    writer.page_views(&web(), range(0, 3)).await;
    assert_eq!(test.counts().await, (4, 4, 4));
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap()
}

#[tokio::test]
async fn what_the_json_type_refuses_is_the_rows_fault() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let good = encode(&writer.events, &web(), 0, &[page_view(0)]);
    let properties = br#"{"n":0,"title":"x"}"#;
    let at = find(&good, properties);
    for bad in [
        r#"{"n":0,"title":"x" "#,
        r#"{"n":0,"n"    :"x"}"#,
        r#"{"n":1e999        }"#,
        r#"{"n":"\ud800"     }"#,
        r#"{"n":999999999999999999999}"#,
        r#"{"a.b":1,"a":{"b":2}}"#,
        r#"[1]"#,
        "{\"while pushing to view (at row 9)\n: While executing BinaryRowInputFormat. (INCORRECT_DATA)\":",
    ] {
        let mut rows = good.clone();
        rows.splice(
            at - 1..at + properties.len(),
            [&[bad.len() as u8], bad.as_bytes()].concat(),
        );
        let (class, error) = class(writer.insert(&web(), range(0, 0), Body::lz4(&rows)).await);
        assert_eq!(
            class,
            Class::UnreadableRow { row: Some(0) },
            "{bad}: {error}"
        );
    }
}

#[tokio::test]
async fn rows_that_do_not_fit_the_columns_are_nobodys_fault() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let mut rows = encode(&writer.events, &web(), 0, &[page_view(0), page_view(1)]);
    rows.truncate(rows.len() - 3);
    let (class, error) = class(writer.insert(&web(), range(0, 1), Body::lz4(&rows)).await);
    assert_eq!(class, Class::Stop, "{error}");
    assert_eq!(test.counts().await, (0, 0, 0));
}

#[tokio::test]
async fn a_batch_over_many_months_is_stored_whole() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let events: Vec<_> = (0..130)
        .map(|month| {
            let mut event = page_view(month);
            event.received_at_ms -= month * 31 * 86_400_000;
            event
        })
        .collect();
    let rows = encode(&writer.events, &web(), 0, &events);
    for _ in 0..2 {
        writer
            .insert(&web(), range(0, 129), Body::lz4(&rows))
            .await
            .unwrap();
        assert_eq!(test.counts().await, (130, 130, 130));
    }
}

#[tokio::test]
async fn a_withheld_insert_sends_nothing_and_leaves_the_connection_usable() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let rows = encode(&writer.events, &web(), 0, &[page_view(0)]);
    let request = request(&writer.events, &web(), range(0, 0), Body::lz4(&rows));
    let withheld = writer.connection.insert(&request, || false).await;
    assert!(
        matches!(withheld, Err(InsertError::Withheld)),
        "{withheld:?}"
    );
    assert_eq!(test.counts().await, (0, 0, 0));
    assert!(writer.connection.is_usable());
    writer.connection.insert(&request, || true).await.unwrap();
    assert_eq!(test.counts().await, (1, 1, 1));
}

#[tokio::test]
async fn tables_and_columns_that_are_not_there_stop() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let base = request(&writer.events, &web(), range(0, 0), Body::plain(vec![]));
    let no_table = InsertRequest {
        table: "nothing",
        ..base.clone()
    };
    let (class_of_table, error) = class(writer.connection.insert(&no_table, || true).await);
    assert_eq!(
        (class_of_table, error.code()),
        (Class::Stop, Some(60)),
        "{error}"
    );
    let no_column = InsertRequest {
        columns: "`nothing`".into(),
        ..base
    };
    let (class_of_column, error) = class(writer.connection.insert(&no_column, || true).await);
    assert_eq!(
        (class_of_column, error.code()),
        (Class::Stop, Some(16)),
        "{error}"
    );
}

#[tokio::test]
async fn a_large_body_that_is_refused_unread_is_judged_by_the_answer() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let insert = InsertRequest {
        table: "nothing",
        ..request(
            &writer.events,
            &web(),
            range(0, 0),
            Body::plain(vec![0; 30 << 20]),
        )
    };
    let (class, error) = class(writer.connection.insert(&insert, || true).await);
    assert_eq!((class, error.code()), (Class::Stop, Some(60)), "{error}");
}

#[tokio::test]
async fn a_wrong_password_stops() {
    let test = TestDb::migrated().await;
    let config = ClickHouseConfig {
        password: "wrong".into(),
        ..test.db.config().clone()
    };
    let db = Db::new(&config).unwrap();
    assert_eq!(db.ping().await.unwrap_err().class(), Class::Stop);
    let mut connection = db.inserter().unwrap().connect().await.unwrap();
    let writer = Writer::new(&test).await;
    let insert = request(&writer.events, &web(), range(0, 0), Body::plain(vec![]));
    let (class, error) = class(connection.insert(&insert, || true).await);
    assert_eq!((class, error.code()), (Class::Stop, Some(516)), "{error}");
}

#[tokio::test]
async fn a_server_that_is_away_is_retried() {
    let port = weir_stack::ports::free().unwrap();
    let config = ClickHouseConfig {
        url: format!("http://127.0.0.1:{port}"),
        ..ClickHouseConfig::default()
    };
    let db = Db::new(&config).unwrap();
    assert_eq!(db.ping().await.unwrap_err().class(), Class::Retry);
    let error = db.inserter().unwrap().connect().await.unwrap_err();
    assert_eq!(error.class(), Class::Retry);
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_retried() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = ClickHouseConfig {
        url: format!("http://{}", listener.local_addr().unwrap()),
        ..ClickHouseConfig::default()
    };
    let db = Db::new(&config).unwrap();
    let mut connection = db.inserter().unwrap().connect().await.unwrap();
    let insert = InsertRequest {
        table: "events",
        columns: "`offset`".into(),
        token: "t".into(),
        query_id: "q".into(),
        body: Body::plain(vec![0; 8]),
        timeout: Duration::from_millis(200),
    };
    let (class, error) = class(connection.insert(&insert, || true).await);
    assert_eq!(class, Class::Retry);
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(!connection.is_usable());
    let after = connection.insert(&insert, || true).await;
    assert!(matches!(after, Err(InsertError::Closed)), "{after:?}");
}

#[tokio::test]
async fn a_slot_is_filled_with_a_fresh_connection_when_the_old_one_is_spent() {
    let test = TestDb::migrated().await;
    let inserter = test.db.inserter().unwrap();
    let mut slot = None;
    assert!(inserter.reuse(&mut slot).await.unwrap().is_usable());
    let insert = InsertRequest {
        table: "nothing",
        columns: "`x`".into(),
        token: "t".into(),
        query_id: "weir:test:slot".into(),
        body: Body::plain(vec![]),
        timeout: Duration::ZERO,
    };
    let connection = inserter.reuse(&mut slot).await.unwrap();
    assert!(connection.insert(&insert, || true).await.is_err());
    assert!(inserter.reuse(&mut slot).await.unwrap().is_usable());
}
