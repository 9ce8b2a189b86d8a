//! The rollups against the events.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Difference, Options, Report, RollupDifference};
use crate::db::{self, Db};
use crate::error::Error;
use crate::{insert, queries, repairs, running};

const DAY_SECONDS: i64 = 86_400;
/// No event is dated later than this after its arrival.
const LATEST_SECONDS: i64 = weir_event::time::FUTURE_MS / 1_000;
const POLL: Duration = Duration::from_millis(500);
/// What the ids of all of Weir's inserts begin with.
const INSERTS: &str = "weir:";

#[derive(Row, Deserialize)]
struct Differing {
    source_id: String,
    is_bot: bool,
    bucket_start: i64,
    page_host: String,
    page_path: String,
    expected_views: u64,
    stored_views: u64,
    expected_visitors: u64,
    stored_visitors: u64,
}

/// Compares every day's rollups with its events and adds what it finds to the report. With `kept_from`, a moment in Unix
/// seconds, events received before it are gone, and days they can have happened on are left alone.
pub(super) async fn compare(
    db: &Db,
    options: &Options,
    kept_from: Option<i64>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut days = days(db).await?;
    if let Some(kept_from) = kept_from {
        days.retain(|day| *day >= kept_from + LATEST_SECONDS);
    }
    report.days = days.first().copied().zip(days.last().copied());
    for &day in &days {
        let mut found = settled(db, day, options).await?;
        if options.repair && !found.is_empty() {
            repairs::mend(db, day).await?;
            report.mended_days.push(day);
            found = settled(db, day, options).await?;
        }
        report
            .differences
            .extend(found.into_iter().map(Difference::Rollup));
    }
    if options.repair {
        for repair in repairs::open(db).await? {
            let days = repair.bucket_from.div_euclid(DAY_SECONDS)
                ..=repair.bucket_to.div_euclid(DAY_SECONDS);
            let is_clean = !report
                .differences
                .iter()
                .any(|difference| match difference {
                    Difference::Rollup(rollup) => {
                        days.contains(&rollup.bucket.div_euclid(DAY_SECONDS))
                    }
                    _ => false,
                });
            if is_clean {
                repairs::done(db, &repair).await?;
            }
        }
    }
    Ok(())
}

/// Returns a day's differences that are not merely a batch on its way: they were the same before and after every
/// insert that was running had ended.
async fn settled(db: &Db, day: i64, options: &Options) -> Result<Vec<RollupDifference>, Error> {
    let begun = Instant::now();
    let mut found = look(db, day, options.max_listed).await?;
    while !found.is_empty() {
        let timed_out = begun.elapsed() > options.patience;
        tokio::time::sleep(POLL).await;
        wait_for_running_inserts(db).await?;
        let again = look(db, day, options.max_listed).await?;
        if again == found || timed_out {
            return Ok(again);
        }
        found = again;
    }
    Ok(found)
}

/// Waits until every insert that runs now has ended.
async fn wait_for_running_inserts(db: &Db) -> Result<(), Error> {
    let running_now = running::queries(db, INSERTS).await?;
    let begun = Instant::now();
    for insert in running_now {
        while begun.elapsed() < insert::MAX_EXECUTION
            && running::queries(db, &insert.query_id)
                .await?
                .iter()
                .any(|query| query.query_id == insert.query_id)
        {
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}

async fn look(db: &Db, day: i64, limit: u64) -> Result<Vec<RollupDifference>, Error> {
    let mut found = Vec::new();
    for rollup in queries::ROLLUPS {
        let query = db
            .lookup(&rollup.verify())
            .param("day", day)
            .param("limit", limit);
        let rows: Vec<Differing> = db::scan(query).await?;
        found.extend(rows.into_iter().map(|row| RollupDifference {
            rollup: rollup.table,
            source_id: row.source_id,
            is_bot: row.is_bot,
            bucket: row.bucket_start,
            page: (row.page_host, row.page_path),
            views: (row.expected_views, row.stored_views),
            visitors: (row.expected_visitors, row.stored_visitors),
        }));
    }
    Ok(found)
}

/// Returns the UTC days with anything to compare, by their first moment.
async fn days(db: &Db) -> Result<Vec<i64>, Error> {
    db::scan(db.lookup(queries::VERIFY_DAYS)).await
}
