//! Numbers out of the rollups, for any time zone.

use weir_clickhouse::compress::Body;
use weir_clickhouse::stats::{self, PageViews, Point, StatsQuery, Step, Totals};

use crate::support::{NEW_YEAR_MS, TestDb, Writer, encode, page_view, range, web};

const NEW_YEAR: i64 = NEW_YEAR_MS / 1000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn query(timezone: &str) -> StatsQuery {
    StatsQuery {
        source: Some("web".into()),
        from: NEW_YEAR - DAY,
        to: NEW_YEAR + 2 * DAY,
        timezone: timezone.into(),
        include_bots: false,
    }
}

/// 48 page views, one per half hour, of visitors 1 to 7; every tenth a bot's.
async fn two_days_of_traffic() -> TestDb {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let events: Vec<_> = (0..48)
        .map(|n| {
            let mut event = page_view(n);
            event.ts_ms = NEW_YEAR_MS + n * 1_800_000;
            event.is_bot = n % 10 == 9;
            event
        })
        .collect();
    let rows = encode(&writer.events, &web(), 0, &events);
    writer
        .insert(&web(), range(0, 47), Body::lz4(&rows))
        .await
        .unwrap();
    test
}

#[tokio::test]
async fn totals_leave_bots_out_unless_asked() {
    let test = two_days_of_traffic().await;
    let people = stats::totals(&test.db, &query("UTC")).await.unwrap();
    assert_eq!(
        people,
        Totals {
            views: 44,
            visitors: 7
        }
    );
    let all = StatsQuery {
        include_bots: true,
        ..query("UTC")
    };
    assert_eq!(stats::totals(&test.db, &all).await.unwrap().views, 48);
    let every_source = StatsQuery {
        source: None,
        ..query("UTC")
    };
    assert_eq!(
        stats::totals(&test.db, &every_source).await.unwrap().views,
        44
    );
    let nobody = StatsQuery {
        source: Some("'; DROP TABLE events; --".into()),
        ..query("UTC")
    };
    assert_eq!(
        stats::totals(&test.db, &nobody).await.unwrap(),
        Totals::default()
    );
}

#[tokio::test]
async fn days_are_those_of_the_time_zone() {
    let test = two_days_of_traffic().await;
    let all = |timezone: &str| StatsQuery {
        include_bots: true,
        ..query(timezone)
    };
    let utc = stats::series(&test.db, &all("UTC"), Step::Day)
        .await
        .unwrap();
    assert_eq!(
        utc,
        [Point {
            start: NEW_YEAR,
            views: 48,
            visitors: 7
        }]
    );
    // UTC+05:45: the new day begins at 18:15 UTC.
    let kathmandu = stats::series(&test.db, &all("Asia/Kathmandu"), Step::Day)
        .await
        .unwrap();
    let days: Vec<_> = kathmandu
        .iter()
        .map(|point| (point.start, point.views))
        .collect();
    assert_eq!(
        days,
        [
            (NEW_YEAR + 18 * HOUR + 900 - DAY, 37),
            (NEW_YEAR + 18 * HOUR + 900, 11)
        ]
    );
}

#[tokio::test]
async fn hours_are_those_of_the_time_zone() {
    let test = two_days_of_traffic().await;
    let short = StatsQuery {
        include_bots: true,
        from: NEW_YEAR,
        to: NEW_YEAR + 2 * HOUR,
        ..query("Asia/Kathmandu")
    };
    let hours = stats::series(&test.db, &short, Step::Hour).await.unwrap();
    let hours: Vec<_> = hours
        .iter()
        .map(|point| (point.start, point.views))
        .collect();
    assert_eq!(
        hours,
        [
            (NEW_YEAR - HOUR + 900, 1),
            (NEW_YEAR + 900, 2),
            (NEW_YEAR + HOUR + 900, 1)
        ]
    );
}

#[tokio::test]
async fn a_period_is_widened_to_whole_quarters() {
    let test = two_days_of_traffic().await;
    let odd = StatsQuery {
        include_bots: true,
        from: NEW_YEAR + 1,
        to: NEW_YEAR + 1801,
        ..query("UTC")
    };
    assert_eq!(stats::totals(&test.db, &odd).await.unwrap().views, 2);
}

#[tokio::test]
async fn pages_with_equal_views_are_in_order_of_their_paths() {
    let test = two_days_of_traffic().await;
    let all = StatsQuery {
        include_bots: true,
        ..query("UTC")
    };
    let pages = stats::top_pages(&test.db, &all, 2).await.unwrap();
    let page = |path: &str| PageViews {
        page_host: "example.com".into(),
        page_path: path.into(),
        views: 16,
    };
    assert_eq!(pages, [page("/0"), page("/1")]);
}

#[tokio::test]
async fn an_unknown_time_zone_is_an_error() {
    let test = two_days_of_traffic().await;
    let error = stats::series(&test.db, &query("Mars/Olympus"), Step::Day)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("Mars/Olympus"), "{error}");
}
