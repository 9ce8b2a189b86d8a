//! Rollups are made equal to the events again.

use std::time::Duration;

use weir_clickhouse::repairs;
use weir_clickhouse::verify::{self, Options};

use crate::support::{TestDb, Writer, batch, range, web};

#[tokio::test]
async fn a_repair_adds_what_is_missing_and_takes_away_what_is_too_much() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.page_views(&web(), range(0, 29)).await;
    writer.record(&[batch(&web(), range(0, 29))]).await;
    test.run("DELETE FROM traffic_15m WHERE bucket = toDateTime('2026-01-01 00:15:00', 'UTC')")
        .await;
    test.run("DELETE FROM pages_15m WHERE page_path = '/1'")
        .await;
    for _ in 0..2 {
        test.run("INSERT INTO traffic_15m SELECT * FROM traffic_15m LIMIT 1 SETTINGS insert_deduplicate = 0").await;
        test.run("INSERT INTO pages_15m SELECT * FROM pages_15m WHERE page_path = '/2' LIMIT 1 SETTINGS insert_deduplicate = 0")
            .await;
    }
    repairs::queue(&test.db, &web(), range(0, 29), "it's a test")
        .await
        .unwrap();

    let options = Options {
        patience: Duration::ZERO,
        ..Options::default()
    };
    let before = verify::verify(&test.db, &options).await.unwrap();
    assert!(!before.is_clean());
    assert_eq!(before.open_repairs.len(), 2);
    assert_eq!(before.open_repairs[0].reason, "it's a test");

    let repairing = Options {
        repair: true,
        ..options.clone()
    };
    let mended = verify::verify(&test.db, &repairing).await.unwrap();
    assert!(mended.is_clean(), "{:?}", mended.differences);
    assert_eq!(mended.mended_days.len(), 1);
    let after = verify::verify(&test.db, &options).await.unwrap();
    assert!(
        after.is_clean() && after.open_repairs.is_empty(),
        "{after:?}"
    );
    assert_eq!(test.counts().await, (30, 30, 30));
}

#[tokio::test]
async fn a_range_without_page_views_queues_nothing() {
    let test = TestDb::migrated().await;
    repairs::queue(&test.db, &web(), range(0, 29), "nothing there")
        .await
        .unwrap();
    assert!(repairs::open(&test.db).await.unwrap().is_empty());
}

#[tokio::test]
async fn nothing_is_repaired_while_a_batch_is_open() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.page_views(&web(), range(0, 29)).await;
    // No ledger row yet: a replay will send the rows to the views again.
    test.run("DELETE FROM pages_15m WHERE page_path = '/1'")
        .await;
    let repairing = Options {
        repair: true,
        patience: Duration::ZERO,
        ..Options::default()
    };
    let report = verify::verify(&test.db, &repairing).await.unwrap();
    assert!(!report.is_clean());
    assert!(report.mended_days.is_empty(), "{:?}", report.mended_days);
    writer.record(&[batch(&web(), range(0, 29))]).await;
    let report = verify::verify(&test.db, &repairing).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.differences);
}
