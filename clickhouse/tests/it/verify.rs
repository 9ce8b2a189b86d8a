//! The proof holds for what was delivered, and breaks for everything that was tampered with.

use std::time::Duration;

use weir_clickhouse::compress::Body;
use weir_clickhouse::rows::BatchRow;
use weir_clickhouse::verify::{self, Difference, Options, Report};

use weir_clickhouse::windows::{self, Window};

use crate::support::{NEW_YEAR_MS, TestDb, Writer, batch, encode, page_view, range, web};

fn impatient() -> Options {
    Options {
        patience: Duration::ZERO,
        ..Options::default()
    }
}

async fn report(test: &TestDb) -> Report {
    verify::verify(&test.db, &impatient()).await.unwrap()
}

/// Three batches: events 0–9, events 10–17 with failures 18 and 19, lost 20–24 with events 25–29.
async fn delivered() -> TestDb {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.page_views(&web(), range(0, 9)).await;
    writer.page_views(&web(), range(10, 17)).await;
    writer.failures(&web(), range(10, 19), &[18, 19]).await;
    writer.page_views(&web(), range(25, 29)).await;
    writer
        .record(&[
            batch(&web(), range(0, 9)),
            BatchRow {
                n_events: 8,
                n_failed: 2,
                ..batch(&web(), range(10, 19))
            },
            BatchRow {
                n_events: 5,
                n_lost: 5,
                ..batch(&web(), range(20, 29))
            },
        ])
        .await;
    test
}

#[tokio::test]
async fn what_was_delivered_is_proved_and_the_lost_is_shown() {
    let test = delivered().await;
    let report = report(&test).await;
    assert!(report.is_clean(), "{:?}", report.differences);
    let covered = &report.partitions[0];
    assert_eq!(
        (covered.source.clone(), covered.range, covered.batches),
        (web(), range(0, 29), 3)
    );
    assert_eq!(
        (
            covered.n_events,
            covered.n_failed,
            covered.n_lost,
            covered.n_absent
        ),
        (23, 2, 5, 0)
    );
    assert_eq!(report.days, Some((NEW_YEAR_MS / 1000, NEW_YEAR_MS / 1000)));
}

#[tokio::test]
async fn an_empty_database_is_clean() {
    let test = TestDb::migrated().await;
    let report = report(&test).await;
    assert!(report.is_clean() && report.partitions.is_empty() && report.days.is_none());
}

#[tokio::test]
async fn a_removed_row_is_found() {
    let test = delivered().await;
    test.run("DELETE FROM events WHERE offset = 12").await;
    let report = report(&test).await;
    assert!(
        report.differences.contains(&Difference::Stored {
            source: web(),
            range: range(10, 19),
            expected: (8, 2),
            found: (7, 2),
            offsets: 9,
        }),
        "{:?}",
        report.differences
    );
    // The rollups counted it.
    assert!(
        report
            .differences
            .iter()
            .any(|difference| matches!(difference, Difference::Rollup(_)))
    );
}

#[tokio::test]
async fn a_doubled_row_is_found() {
    let test = delivered().await;
    test.run("INSERT INTO failed_events SELECT * FROM failed_events WHERE offset = 19 SETTINGS insert_deduplicate = 0")
        .await;
    assert_eq!(
        report(&test).await.differences,
        [Difference::Stored {
            source: web(),
            range: range(10, 19),
            expected: (8, 2),
            found: (8, 3),
            offsets: 10,
        }]
    );
}

#[tokio::test]
async fn a_record_with_two_verdicts_is_found() {
    let test = delivered().await;
    // The number of rows stays right.
    test.run(
        "ALTER TABLE failed_events UPDATE offset = 17 WHERE offset = 19 SETTINGS mutations_sync = 2",
    )
    .await;
    assert_eq!(
        report(&test).await.differences,
        [Difference::Stored {
            source: web(),
            range: range(10, 19),
            expected: (8, 2),
            found: (8, 2),
            offsets: 9,
        }]
    );
}

#[tokio::test]
async fn a_changed_rollup_is_found() {
    let test = delivered().await;
    test.run(
        "INSERT INTO pages_15m SELECT * REPLACE (1 AS views) FROM pages_15m WHERE page_path = '/1' LIMIT 1 \
         SETTINGS insert_deduplicate = 0",
    )
    .await;
    let report = report(&test).await;
    match &report.differences[..] {
        [Difference::Rollup(rollup)] => {
            assert_eq!((rollup.rollup, rollup.page.1.as_str()), ("pages_15m", "/1"));
            assert_eq!(rollup.views.1, rollup.views.0 + 1);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_missing_ledger_row_is_found() {
    let test = delivered().await;
    test.run("DELETE FROM batches WHERE first = 10").await;
    let report = report(&test).await;
    assert!(
        report.differences.contains(&Difference::Gap {
            source: web(),
            range: range(10, 19),
        }),
        "{:?}",
        report.differences
    );
}

#[tokio::test]
async fn a_missing_last_ledger_row_is_found() {
    let test = delivered().await;
    test.run("DELETE FROM batches WHERE first = 20").await;
    assert_eq!(
        report(&test).await.differences,
        [Difference::Unrecorded {
            source: web(),
            range: range(20, 29),
        }]
    );
}

#[tokio::test]
async fn a_missing_first_ledger_row_is_found() {
    let test = delivered().await;
    test.run("DELETE FROM batches WHERE first = 0").await;
    assert!(!report(&test).await.is_clean());
}

#[tokio::test]
async fn overlapping_and_wrong_ledger_rows_are_found() {
    let test = delivered().await;
    let mut writer = Writer::new(&test).await;
    writer
        .record(&[BatchRow {
            n_events: 1,
            ..batch(&web(), range(28, 33))
        }])
        .await;
    let report = report(&test).await;
    assert!(
        report.differences.contains(&Difference::Overlap {
            source: web(),
            range: range(28, 33),
            expected_first: 30,
        }),
        "{:?}",
        report.differences
    );
    assert!(report.differences.contains(&Difference::Sum {
        source: web(),
        range: range(28, 33),
        accounted: 1,
    }));
}

#[tokio::test]
async fn a_batch_that_is_recorded_in_time_is_no_difference() {
    let test = delivered().await;
    let mut writer = Writer::new(&test).await;
    writer.page_views(&web(), range(30, 31)).await;
    let options = Options::default();
    let (report, ()) = tokio::join!(verify::verify(&test.db, &options), async {
        writer.record(&[batch(&web(), range(30, 31))]).await;
    });
    let report = report.unwrap();
    assert!(report.is_clean(), "{:?}", report.differences);
}

#[tokio::test]
async fn a_view_whose_target_would_take_a_resend_twice_is_found() {
    let test = delivered().await;
    test.run("CREATE TABLE own (x UInt64) ENGINE = MergeTree ORDER BY x")
        .await;
    test.run("CREATE MATERIALIZED VIEW own_mv TO own AS SELECT offset AS x FROM events")
        .await;
    let own = Window {
        table: format!("{}.own", test.db.config().database),
        parts: 0,
    };
    assert_eq!(report(&test).await.small_windows, [own]);
    test.run("ALTER TABLE own MODIFY SETTING non_replicated_deduplication_window = 100000")
        .await;
    assert!(report(&test).await.small_windows.is_empty());
}

#[tokio::test]
async fn every_table_of_weir_has_its_window() {
    let test = TestDb::migrated().await;
    let found = windows::windows(&test.db).await.unwrap();
    let expected = [
        "batches",
        "events",
        "failed_events",
        "pages_15m",
        "traffic_15m",
    ]
    .map(|table| Window {
        table: format!("{}.{table}", test.db.config().database),
        parts: 100_000,
    });
    assert_eq!(found, expected);
}

#[tokio::test]
async fn estimates_of_many_visitors_do_not_depend_on_how_they_were_batched() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let mut first = 0;
    for size in [1, 999, 3_000, 16_000] {
        let range = range(first, first + size - 1);
        let events: Vec<_> = (range.first..=range.last)
            .map(|offset| {
                let mut event = page_view(offset % 10);
                event.visitor_id = (offset.unsigned_abs() + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                event
            })
            .collect();
        let rows = encode(&writer.events, &web(), range.first, &events);
        writer
            .insert(&web(), range, Body::lz4(&rows))
            .await
            .unwrap();
        writer.record(&[batch(&web(), range)]).await;
        first += size;
    }
    let report = report(&test).await;
    assert!(report.is_clean(), "{:?}", report.differences);
    assert_eq!(report.partitions[0].n_events, 20_000);
}

#[tokio::test]
async fn more_batches_than_one_query_takes_are_all_looked_at() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let all = range(0, 10_999);
    writer.page_views(&web(), all).await;
    let batches: Vec<_> = (all.first..=all.last)
        .map(|offset| batch(&web(), range(offset, offset)))
        .collect();
    writer.record(&batches).await;
    assert!(report(&test).await.is_clean());
    test.run("DELETE FROM events WHERE offset IN (0, 4999, 5000, 10999)")
        .await;
    let report = report(&test).await;
    let missing: Vec<_> = report
        .differences
        .iter()
        .filter_map(|difference| match difference {
            Difference::Stored { range, found, .. } => Some((range.first, *found)),
            _ => None,
        })
        .collect();
    assert_eq!(
        missing,
        [0, 4_999, 5_000, 10_999].map(|offset| (offset, (0, 0)))
    );
}
