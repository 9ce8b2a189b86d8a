//! `weir stats`: page views, visitors and top pages from the rollups.

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use weir_clickhouse::Db;
use weir_clickhouse::stats::{self, StatsQuery, Step};
use weir_common::config::HumanDuration;
use weir_common::time::{now_ms, parse_rfc3339, rfc3339};

use crate::cli::Output;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Format, Rows, count};
use crate::settings::Settings;

const DAY_SECONDS: i64 = 86_400;
/// ClickHouse's code for a time zone it does not know, and for an argument it cannot take.
const UNKNOWN_TIME_ZONE: [u32; 3] = [1001, 36, 43];

const DEFINITIONS: &str = "\
What the numbers mean:
  page views   accepted `page` calls whose time (`ts`) lies in the period; a repeat
               of an event id within the deduplication window is no second view
  visitors     distinct visitors among those page views: by anonymous id, else user
               id, else the cookieless id of address and agent, which changes with
               the UTC day. Exact up to about 2,000, above an estimate within about
               half a percent. A period's visitors are not the sum of its days'
  bots         page views whose agent is a known crawler or absent; left out unless
               --include-bots
  top pages    most page views first, equal ones by path
  period       from --from up to, and without, --to, in whole quarters of an hour; a
               date begins at midnight in the time zone, and one in --to is included
  days, hours  those of the time zone; ones without page views are left out

The numbers come from the rollups traffic_15m and pages_15m; `weir verify` proves them \
equal to the events.";

/// Flags of `weir stats`.
#[derive(Debug, Args)]
#[command(after_help = DEFINITIONS)]
pub(crate) struct StatsArgs {
    /// Source to count [default: all together]
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// Begin: a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "last")]
    from: Option<String>,
    /// End: a date, which counts as a whole, or a time, which does not [default: now]
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Period up to now: hours such as 24h back from now, or days such as 7d, today among them
    #[arg(long, value_name = "TIME", default_value = "30d")]
    last: HumanDuration,
    /// Adds numbers for each day or hour
    #[arg(long, value_enum, value_name = "STEP")]
    by: Option<By>,
    /// IANA name of the time zone of days and hours, such as Europe/Vienna
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: String,
    /// Counts bots as well
    #[arg(long)]
    include_bots: bool,
    /// Most pages to list
    #[arg(long, value_name = "N", default_value_t = 10)]
    pages: u64,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Each day
    Day,
    /// Each hour
    Hour,
}

#[derive(Debug, Serialize)]
struct Report {
    source: Option<String>,
    from: String,
    to: String,
    timezone: String,
    include_bots: bool,
    page_views: u64,
    visitors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<Vec<Point>>,
    top_pages: Vec<Page>,
}

#[derive(Debug, Serialize)]
struct Point {
    /// Begin of the day or hour, in the time zone.
    start: String,
    page_views: u64,
    visitors: u64,
}

#[derive(Debug, Serialize)]
struct Page {
    host: String,
    path: String,
    page_views: u64,
}

/// Runs the command.
///
/// # Errors
/// Those of ClickHouse; a period or time zone that makes no sense.
pub(crate) async fn run(settings: &Settings, args: StatsArgs) -> Result<Outcome> {
    let db = settings.connect_clickhouse().await?;
    let zone = Zone::new(&db, &args.timezone);
    let (from, to) = period(&zone, &args).await?;
    if from >= to {
        bail!(Failure::Usage("--from must lie before --to".to_owned()));
    }
    let query = StatsQuery {
        source: args.source.clone(),
        from,
        to,
        timezone: args.timezone.clone(),
        include_bots: args.include_bots,
    };
    let totals = stats::totals(&db, &query).await?;
    let series = match args.by {
        None => None,
        Some(by) => Some(series(&db, &zone, &query, by).await?),
    };
    let pages = stats::top_pages(&db, &query, args.pages).await?;
    let report = Report {
        source: args.source,
        from: rfc3339(from * 1000),
        to: rfc3339(to * 1000),
        timezone: args.timezone,
        include_bots: args.include_bots,
        page_views: totals.views,
        visitors: totals.visitors,
        series,
        top_pages: pages
            .into_iter()
            .map(|page| Page {
                host: page.page_host,
                path: page.page_path,
                page_views: page.views,
            })
            .collect(),
    };
    match args.output.output {
        Format::Json => output::json(&report)?,
        Format::Table => print(&report)?,
    }
    Ok(Outcome::Fine)
}

async fn series(db: &Db, zone: &Zone<'_>, query: &StatsQuery, by: By) -> Result<Vec<Point>> {
    let (step, length) = match by {
        By::Day => (Step::Day, "2026-01-31".len()),
        By::Hour => (Step::Hour, "2026-01-31 12:00".len()),
    };
    let points = stats::series(db, query, step)
        .await
        .map_err(|error| zone.explain(error))?;
    let starts: Vec<i64> = points.iter().map(|point| point.start).collect();
    let names = zone.local_times(&starts).await?;
    let named = points.into_iter().zip(names);
    Ok(named
        .map(|(point, mut start)| {
            start.truncate(length);
            Point {
                start,
                page_views: point.views,
                visitors: point.visitors,
            }
        })
        .collect())
}

/// Returns begin and end of the period in Unix seconds.
async fn period(zone: &Zone<'_>, args: &StatsArgs) -> Result<(i64, i64)> {
    let now = now_ms().div_euclid(1000);
    let Some(from) = &args.from else {
        let last = i64::try_from(args.last.0.as_secs()).unwrap_or(i64::MAX);
        if last == 0 {
            bail!(Failure::Usage("--last must be longer than 0s".to_owned()));
        }
        if last % DAY_SECONDS != 0 || last == DAY_SECONDS {
            return Ok((now.saturating_sub(last).max(0), now));
        }
        let days = last / DAY_SECONDS;
        return Ok((zone.midnight_before(now, days - 1).await?, now));
    };
    let from = zone.instant(from, "--from", 0).await?;
    let to = match &args.to {
        Some(to) => zone.instant(to, "--to", 1).await?,
        None => now,
    };
    Ok((from, to))
}

/// A time zone, whose rules ClickHouse knows.
struct Zone<'a> {
    db: &'a Db,
    name: &'a str,
}

impl<'a> Zone<'a> {
    fn new(db: &'a Db, name: &'a str) -> Self {
        Self { db, name }
    }

    /// Returns the Unix second of a time, or of midnight at the begin of a date and `days_after` days.
    async fn instant(&self, text: &str, flag: &str, days_after: i64) -> Result<i64> {
        if let Some(ms) = parse_rfc3339(text) {
            return Ok(ms.div_euclid(1000));
        }
        let date = time::Date::parse(
            text,
            time::macros::format_description!("[year]-[month]-[day]"),
        );
        let date = date
            .ok()
            .and_then(|date| date.checked_add(time::Duration::days(days_after)));
        let Some(date) = date else {
            bail!(Failure::Usage(format!(
                "{flag} {text}: expected a date such as 2026-01-31 or a time such as 2026-01-31T12:00:00Z"
            )));
        };
        let sql = "SELECT toInt64(toUnixTimestamp(toDateTime({date:String} || ' 00:00:00', {zone:String})))";
        let query = self.query(sql).param("date", date.to_string());
        self.one(query).await
    }

    /// Returns the Unix second of the midnight that began the day `days` before the one of `now`.
    async fn midnight_before(&self, now: i64, days: i64) -> Result<i64> {
        let sql = "SELECT toInt64(toUnixTimestamp(toStartOfDay(\
                   subtractDays(toDateTime({now:Int64}, {zone:String}), {days:Int64}))))";
        let query = self.query(sql).param("now", now).param("days", days);
        self.one(query).await
    }

    /// Returns instants, in Unix seconds, as `2026-01-31 12:00:00` in the zone.
    async fn local_times(&self, instants: &[i64]) -> Result<Vec<String>> {
        let sql = "SELECT arrayMap(at -> toString(toDateTime(at, {zone:String})), {instants:Array(Int64)})";
        let query = self.query(sql).param("instants", instants);
        self.one(query).await
    }

    fn query(&self, sql: &str) -> clickhouse::query::Query {
        self.db.reader().query_raw(sql).param("zone", self.name)
    }

    async fn one<T>(&self, query: clickhouse::query::Query) -> Result<T>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        let answer = query.fetch_one().await;
        answer.map_err(|error| self.explain(error.into()))
    }

    fn explain(&self, error: weir_clickhouse::Error) -> anyhow::Error {
        match error.code() {
            Some(code) if UNKNOWN_TIME_ZONE.contains(&code) => anyhow!(Failure::Usage(format!(
                "--timezone {}: expected an IANA name such as Europe/Vienna",
                self.name
            ))),
            _ => anyhow!(error),
        }
    }
}

fn print(report: &Report) -> Result<()> {
    let source = report.source.as_deref().unwrap_or("all sources");
    let bots = if report.include_bots {
        "with bots"
    } else {
        "without bots"
    };
    output::line(&format!(
        "{source}, {} to {}, {bots}",
        report.from, report.to
    ))?;
    output::line("")?;
    let mut rows = Rows::new(["page views", "visitors"]);
    rows.add([count(report.page_views), count(report.visitors)]);
    output::table(&rows).context("cannot print")?;
    if let Some(series) = &report.series {
        output::line("")?;
        let mut rows = Rows::new([report.timezone.as_str(), "page views", "visitors"]);
        for point in series {
            rows.add([
                point.start.clone(),
                count(point.page_views),
                count(point.visitors),
            ]);
        }
        output::table(&rows)?;
    }
    if !report.top_pages.is_empty() {
        output::line("")?;
        let mut rows = Rows::new(["page", "page views"]);
        for page in &report.top_pages {
            rows.add([
                format!("{}{}", page.host, page.path),
                count(page.page_views),
            ]);
        }
        output::table(&rows)?;
    }
    Ok(())
}
