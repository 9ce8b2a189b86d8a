//! Old months are removed on purpose, and the proof goes on without them; whatever else is removed stays a difference.

use std::time::Duration;

use uuid::Uuid;
use weir_clickhouse::compress::Body;
use weir_clickhouse::insert::InsertRequest;
use weir_clickhouse::rows::{BatchRow, FailedEvents, FailedRow, Table};
use weir_clickhouse::verify::{self, Difference, Options, Report};
use weir_clickhouse::{OffsetRange, streams};

use crate::support::{
    NEW_YEAR_MS, TIMEOUT, TestDb, Writer, at, batch, encode, failure, page_view, range, web,
};

const DAY_MS: i64 = 86_400_000;
const FEBRUARY: i64 = (NEW_YEAR_MS + 31 * DAY_MS) / 1_000;

async fn report(test: &TestDb) -> Report {
    let options = Options {
        patience: Duration::ZERO,
        ..Options::default()
    };
    verify::verify(&test.db, &options).await.unwrap()
}

/// Page views that happened and arrived so much after new year; without `recorded`, the ledger has no row of them.
async fn views(writer: &mut Writer, range: OffsetRange, after_ms: i64, recorded: bool) {
    let events: Vec<_> = (range.first..=range.last)
        .map(|offset| {
            let mut event = page_view(offset);
            event.ts_ms += after_ms;
            event.received_at_ms += after_ms;
            event
        })
        .collect();
    let rows = encode(&writer.events, &web(), range.first, &events);
    writer
        .insert(&web(), range, Body::lz4(&rows))
        .await
        .unwrap();
    if recorded {
        writer.record(&[received(range, after_ms)]).await;
    }
}

fn received(range: OffsetRange, after_ms: i64) -> BatchRow {
    BatchRow {
        min_received_at_ms: NEW_YEAR_MS + after_ms,
        max_received_at_ms: NEW_YEAR_MS + after_ms + 1,
        ..batch(&web(), range)
    }
}

/// A failure that arrived so much after new year, as a batch of its own.
async fn failed(writer: &mut Writer, offset: i64, after_ms: i64) {
    let mut failure = failure(offset);
    failure.received_at_ms += after_ms;
    let source = web();
    let row = FailedRow {
        at: at(&source, offset),
        failure: &failure,
        processor_version: "0.1.0",
        schema_set: "abc",
    };
    let mut rows = Vec::new();
    writer.failed.encode(&row, &mut rows);
    let insert = InsertRequest {
        table: FailedEvents::NAME,
        columns: writer.failed.column_list(),
        token: source.token(range(offset, offset), "failed_events"),
        query_id: source.query_id(range(offset, offset), "failed_events", Uuid::new_v4()),
        body: Body::lz4(&rows),
        timeout: TIMEOUT,
    };
    writer.connection.insert(&insert, || true).await.unwrap();
    let recorded = BatchRow {
        n_events: 0,
        n_failed: 1,
        ..received(range(offset, offset), after_ms)
    };
    writer.record(&[recorded]).await;
}

/// Events 0–9 and failure 10 of January, lost 11–12, events 13–19 of 1 and 20–29 of 10 February. No failures there.
async fn two_months() -> TestDb {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    views(&mut writer, range(0, 9), 30 * DAY_MS, true).await;
    failed(&mut writer, 10, 30 * DAY_MS).await;
    let lost = BatchRow {
        n_events: 0,
        n_lost: 2,
        min_received_at_ms: 0,
        max_received_at_ms: 0,
        ..batch(&web(), range(11, 12))
    };
    writer.record(&[lost]).await;
    views(&mut writer, range(13, 19), 31 * DAY_MS, true).await;
    views(&mut writer, range(20, 29), 40 * DAY_MS, true).await;
    let report = report(&test).await;
    assert!(report.is_clean(), "{:?}", report.differences);
    assert_eq!(report.partitions[0].resting_batches, 0);
    assert_eq!(
        report.days,
        Some((FEBRUARY - 86_400, FEBRUARY + 9 * 86_400))
    );
    test
}

async fn drop_january(test: &TestDb) {
    for table in ["events", "failed_events"] {
        test.run(&format!("ALTER TABLE {table} DROP PARTITION 202601"))
            .await;
    }
}

#[tokio::test]
async fn a_dropped_month_rests_on_the_ledger() {
    let test = two_months().await;
    drop_january(&test).await;
    let report = report(&test).await;
    assert!(report.is_clean(), "{:?}", report.differences);
    let covered = &report.partitions[0];
    assert_eq!(
        (covered.batches, covered.resting_batches, covered.n_events),
        (5, 2, 27)
    );
    // What happened on the first day may have arrived in the hour before by the server's clock.
    let tenth = FEBRUARY + 9 * 86_400;
    assert_eq!(report.days, Some((tenth, tenth)));
}

#[tokio::test]
async fn a_row_that_is_missing_in_a_month_that_is_still_there_is_found() {
    let test = two_months().await;
    drop_january(&test).await;
    test.run("DELETE FROM events WHERE offset = 13").await;
    let report = report(&test).await;
    assert_eq!(
        report.differences,
        [Difference::Stored {
            source: web(),
            range: range(13, 19),
            expected: (7, 0),
            found: (6, 0),
            offsets: 6,
        }]
    );
    test.run("DELETE FROM events WHERE offset = 29").await;
    let report = self::report(&test).await;
    assert!(
        report
            .differences
            .iter()
            .any(|difference| matches!(difference, Difference::Rollup(_))),
        "{:?}",
        report.differences
    );
}

#[tokio::test]
async fn a_month_that_one_table_still_holds_is_there() {
    let test = two_months().await;
    test.run("ALTER TABLE events DROP PARTITION 202601").await;
    let report = report(&test).await;
    assert_eq!(report.partitions[0].resting_batches, 0);
    assert!(
        report.differences.contains(&Difference::Stored {
            source: web(),
            range: range(0, 9),
            expected: (10, 0),
            found: (0, 0),
            offsets: 0,
        }),
        "{:?}",
        report.differences
    );
}

#[tokio::test]
async fn a_later_month_that_is_gone_is_found() {
    let test = two_months().await;
    test.run("ALTER TABLE events DROP PARTITION 202602").await;
    let report = report(&test).await;
    assert_eq!(report.partitions[0].resting_batches, 0);
    assert!(!report.is_clean());
}

#[tokio::test]
async fn tables_without_any_rows_are_no_removal_of_old_ones() {
    let test = two_months().await;
    test.run("TRUNCATE TABLE events").await;
    test.run("TRUNCATE TABLE failed_events").await;
    let report = report(&test).await;
    assert_eq!(report.partitions[0].resting_batches, 0);
    assert!(!report.is_clean());
}

#[tokio::test]
async fn a_row_too_many_is_found_where_its_month_was_dropped() {
    let test = two_months().await;
    drop_january(&test).await;
    test.run("INSERT INTO events SELECT * REPLACE (10 AS offset) FROM (SELECT * FROM events WHERE offset = 20)")
        .await;
    let report = report(&test).await;
    assert!(
        report.differences.contains(&Difference::Stored {
            source: web(),
            range: range(10, 10),
            expected: (0, 1),
            found: (1, 0),
            offsets: 1,
        }),
        "{:?}",
        report.differences
    );
}

#[tokio::test]
async fn mending_leaves_the_days_of_a_dropped_month_alone() {
    let test = two_months().await;
    drop_january(&test).await;
    let counted = test.counts().await;
    let repairing = Options {
        patience: Duration::ZERO,
        repair: true,
        ..Options::default()
    };
    let report = verify::verify(&test.db, &repairing).await.unwrap();
    assert!(report.is_clean() && report.mended_days.is_empty());
    assert_eq!(test.counts().await, counted);
    assert_eq!(counted, (17, 27, 27));
}

#[tokio::test]
async fn a_closed_streams_last_batch_has_its_arrival() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    views(&mut writer, range(0, 4), DAY_MS, false).await;
    streams::close(&test.db, "events.web", 1, 1).await.unwrap();
    let received: (i64, i64) = test
        .one("SELECT toUnixTimestamp64Milli(min_received_at), toUnixTimestamp64Milli(max_received_at) FROM batches")
        .await;
    assert_eq!(
        received,
        (
            page_view(0).received_at_ms + DAY_MS,
            page_view(4).received_at_ms + DAY_MS
        )
    );
}
