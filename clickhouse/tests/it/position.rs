//! How far a partition is, and which life its topic is in.

use weir_clickhouse::position::{self, Stored};
use weir_clickhouse::streams::{self, Reason};
use weir_clickhouse::{SourcePartition, imports};

use crate::support::{NEW_YEAR_MS, TestDb, Writer, batch, range, web};

#[tokio::test]
async fn the_ledgers_end_is_the_highest_offset_of_the_partition() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let other = SourcePartition::new(2, "events.web", 0);
    assert_eq!(position::ledger_end(&test.db, &web()).await.unwrap(), None);
    writer
        .record(&[batch(&web(), range(0, 9)), batch(&other, range(0, 99))])
        .await;
    writer.record(&[batch(&web(), range(10, 19))]).await;
    // Again, as after a crash: harmless.
    writer.record(&[batch(&web(), range(10, 19))]).await;
    assert_eq!(
        position::ledger_end(&test.db, &web()).await.unwrap(),
        Some(19)
    );
    let ends = position::ledger_ends(&test.db).await.unwrap();
    let ends: Vec<_> = ends.into_iter().map(|end| (end.source, end.last)).collect();
    assert_eq!(ends, [(web(), 19), (other, 99)]);
    assert!(
        position::batches_since(&test.db, NEW_YEAR_MS)
            .await
            .unwrap()
            >= 3
    );
    assert_eq!(
        position::batches_since(&test.db, i64::from(u32::MAX) * 1000)
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn an_empty_ledger_and_offset_zero_are_told_apart() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.record(&[batch(&web(), range(0, 0))]).await;
    assert_eq!(
        position::ledger_end(&test.db, &web()).await.unwrap(),
        Some(0)
    );
    assert_eq!(
        position::highest_stored_above(&test.db, &web(), -1)
            .await
            .unwrap(),
        None
    );
    writer.page_views(&web(), range(0, 0)).await;
    assert_eq!(
        position::highest_stored_above(&test.db, &web(), -1)
            .await
            .unwrap(),
        Some(0)
    );
}

#[tokio::test]
async fn rows_above_the_ledger_are_found_in_both_tables() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.page_views(&web(), range(0, 9)).await;
    writer.failures(&web(), range(0, 12), &[10, 12]).await;
    assert_eq!(
        position::highest_stored_above(&test.db, &web(), 4)
            .await
            .unwrap(),
        Some(12)
    );
    assert_eq!(
        position::highest_stored_above(&test.db, &web(), 12)
            .await
            .unwrap(),
        None
    );
    let stored = |stored, range| position::stored_offsets(&test.db, stored, &WEB, range);
    static WEB: std::sync::LazyLock<SourcePartition> = std::sync::LazyLock::new(web);
    assert_eq!(stored(Stored::Events, range(8, 20)).await.unwrap(), [8, 9]);
    assert_eq!(
        stored(Stored::Failed, range(0, 20)).await.unwrap(),
        [10, 12]
    );
    position::sync_replica(&test.db, Stored::Events)
        .await
        .unwrap();
}

#[tokio::test]
async fn those_who_saw_the_same_stream_raise_it_once() {
    let test = TestDb::migrated().await;
    let topic = "events.web";
    assert_eq!(streams::current(&test.db, topic).await.unwrap(), None);
    assert_eq!(streams::current_or_first(&test.db, topic).await.unwrap(), 1);
    let raise = || streams::raise(&test.db, topic, Some(1), Reason::Truncated);
    let (one, two) = tokio::join!(raise(), raise());
    assert_eq!((one.unwrap(), two.unwrap()), (2, 2));
    assert_eq!(raise().await.unwrap(), 2);
    assert_eq!(streams::current(&test.db, topic).await.unwrap(), Some(2));
    assert_eq!(
        streams::current(&test.db, "events.ios").await.unwrap(),
        None
    );
}

#[tokio::test]
async fn an_import_is_found_by_its_content() {
    let test = TestDb::migrated().await;
    assert_eq!(imports::find(&test.db, "web", "abc").await.unwrap(), None);
    let import = imports::Import {
        source_id: "web".into(),
        digest: "abc".into(),
        file_name: "it's a log".into(),
        events: 7,
        imported_at_ms: 0,
    };
    imports::record(&test.db, &import).await.unwrap();
    let found = imports::find(&test.db, "web", "abc")
        .await
        .unwrap()
        .unwrap();
    assert!(found.imported_at_ms > NEW_YEAR_MS - 400 * 86_400_000);
    assert_eq!(
        imports::Import {
            imported_at_ms: 0,
            ..found
        },
        import
    );
    assert_eq!(imports::find(&test.db, "ios", "abc").await.unwrap(), None);
}
