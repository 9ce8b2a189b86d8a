//! Page views, unique visitors and top pages, from the rollups, with the reader's rights.
//!
//! A page view is a `page` call that was accepted. A unique visitor is a distinct `visitor_id` among them: exact up to
//! about 2,000 in a period, an estimate within about half a percent above. A visitor without an id of its own counts
//! anew every UTC day. Visitors of a period are not the sum of its days'.

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use crate::db::{self, Db};
use crate::error::Error;
use crate::queries;

/// Seconds in the rollups' bucket; every time zone's days are made of whole ones.
pub const BUCKET_SECONDS: i64 = 15 * 60;

/// What to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsQuery {
    /// Source; `None` for all of them together.
    pub source: Option<String>,
    /// Begin of the period, Unix seconds; taken down to a whole quarter of an hour.
    pub from: i64,
    /// End of the period, not part of it, Unix seconds; taken up to a whole quarter of an hour.
    pub to: i64,
    /// IANA name of the time zone that days and hours are those of.
    pub timezone: String,
    /// Whether page views of bots count.
    pub include_bots: bool,
}

/// What a series has one number for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Each day.
    Day,
    /// Each hour.
    Hour,
}

/// Numbers of a whole period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct Totals {
    /// Page views.
    pub views: u64,
    /// Unique visitors.
    pub visitors: u64,
}

/// Numbers of one day or hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Point {
    /// When it begins, Unix seconds.
    pub start: i64,
    /// Page views.
    pub views: u64,
    /// Unique visitors.
    pub visitors: u64,
}

/// Page views of one page.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct PageViews {
    /// Host; empty when events do not tell.
    pub page_host: String,
    /// Path.
    pub page_path: String,
    /// Page views.
    pub views: u64,
}

/// Returns the numbers of the whole period.
///
/// # Errors
///
/// Those of a read.
pub async fn totals(db: &Db, query: &StatsQuery) -> Result<Totals, Error> {
    db::row(prepare(db, queries::STATS_TOTALS, query)).await
}

/// Returns the numbers of each day or hour of the time zone, in order. Those without page views are left out.
///
/// # Errors
///
/// Those of a read; an unknown time zone is one of the server (code 1001).
pub async fn series(db: &Db, query: &StatsQuery, step: Step) -> Result<Vec<Point>, Error> {
    let by = match step {
        Step::Day => "day",
        Step::Hour => "hour",
    };
    let prepared = prepare(db, queries::STATS_SERIES, query)
        .param("timezone", &query.timezone)
        .param("by", by);
    db::rows(prepared).await
}

/// Returns the pages with the most views, most first, equal ones by path and host.
///
/// # Errors
///
/// Those of a read.
pub async fn top_pages(db: &Db, query: &StatsQuery, limit: u64) -> Result<Vec<PageViews>, Error> {
    db::rows(prepare(db, queries::STATS_TOP_PAGES, query).param("limit", limit)).await
}

fn prepare(db: &Db, sql: &str, query: &StatsQuery) -> Query {
    let from = query.from.div_euclid(BUCKET_SECONDS) * BUCKET_SECONDS;
    let to = (query.to + BUCKET_SECONDS - 1).div_euclid(BUCKET_SECONDS) * BUCKET_SECONDS;
    // A reader may not change settings, so this is no look-up with a limit on the server.
    db.reader()
        .query_raw(sql)
        .param("from", from)
        .param("to", to)
        .param("source", query.source.as_deref().unwrap_or(""))
        .param("include_bots", query.include_bots)
}
