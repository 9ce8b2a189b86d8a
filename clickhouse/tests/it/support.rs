//! A migrated database of its own for each test, and rows to put there.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use clickhouse::{RowOwned, RowRead};
use serde_json::json;
use uuid::Uuid;
use weir_clickhouse::compress::Body;
use weir_clickhouse::insert::{Connection, InsertError, InsertRequest, Summary};
use weir_clickhouse::migrate::{self, Migrations, Topology};
use weir_clickhouse::rows::{
    BatchEncoder, BatchRow, Coordinates, EventEncoder, EventRow, FailedEncoder, FailedRow, Table,
};
use weir_clickhouse::{ClickHouseConfig, Db, OffsetRange, SourcePartition};
use weir_event::{Event, EventType, Failure, FieldError, Reason};
use weir_stack::ClickHouse;

/// 2026-01-01T00:00:00Z in milliseconds.
pub(crate) const NEW_YEAR_MS: i64 = 1_767_225_600_000;
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A server for all tests that run at the same time.
static SERVER: Mutex<Weak<ClickHouse>> = Mutex::new(Weak::new());

pub(crate) fn server() -> Arc<ClickHouse> {
    let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server =
        Arc::new(ClickHouse::start(weir_stack::clickhouse::StartOptions::default()).unwrap());
    *shared = Arc::downgrade(&server);
    server
}

/// A database, dropped at the end.
pub(crate) struct TestDb {
    pub(crate) db: Db,
    server: Arc<ClickHouse>,
}

impl TestDb {
    /// Returns an empty database that does not exist yet.
    pub(crate) fn absent() -> Self {
        let server = server();
        // On a real server the reader may read the stack's own database only.
        let (reader_user, reader_password) = match server.service() {
            Ok(_) => (
                server.reader().to_owned(),
                server.reader_password().to_owned(),
            ),
            Err(_) => (String::new(), String::new()),
        };
        let config = ClickHouseConfig {
            url: server.url().to_owned(),
            user: server.user().to_owned(),
            password: server.password().to_owned(),
            database: format!("weir_test_{}", Uuid::new_v4().simple()),
            reader_user,
            reader_password,
        };
        Self {
            db: Db::new(&config).unwrap(),
            server,
        }
    }

    /// Returns a database with all migrations applied.
    pub(crate) async fn migrated() -> Self {
        let test = Self::absent();
        migrate::up(
            &test.db,
            &Migrations::embedded().unwrap(),
            &Topology::SingleNode,
            |_| (),
        )
        .await
        .unwrap();
        test
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.db.admin().query_raw(sql).execute().await.unwrap();
    }

    pub(crate) async fn one<T: RowOwned + RowRead>(&self, sql: &str) -> T {
        self.db.admin().query_raw(sql).fetch_one().await.unwrap()
    }

    /// Returns rows of `events`, and views counted by `traffic_15m` and by `pages_15m`.
    pub(crate) async fn counts(&self) -> (u64, u64, u64) {
        self.one(
            "SELECT sum(n = 1), sumIf(views, n = 2), sumIf(views, n = 3) FROM (\
             SELECT 1 AS n, 1 AS views FROM events UNION ALL SELECT 2, views FROM traffic_15m \
             UNION ALL SELECT 3, views FROM pages_15m)",
        )
        .await
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} SYNC", self.db.config().database);
        if let Err(error) = self.server.execute(&drop) {
            eprintln!("{drop}: {error:#}");
        }
    }
}

/// Partition 0 of `events.web` in its first life.
pub(crate) fn web() -> SourcePartition {
    SourcePartition::new(1, "events.web", 0)
}

pub(crate) fn range(first: i64, last: i64) -> OffsetRange {
    OffsetRange { first, last }
}

/// A page view of visitor `offset % 7` on page `/offset % 3`, one a minute.
pub(crate) fn page_view(offset: i64) -> Event {
    let ts_ms = NEW_YEAR_MS + offset * 60_000;
    Event {
        event_id: Uuid::from_u128(0x1000 + u128::from(offset.unsigned_abs())),
        client_event_id: String::new(),
        source_id: "web".into(),
        platform: "web".into(),
        r#type: EventType::Page,
        name: "page".into(),
        name_sent: "Home".into(),
        schema_version: "page/1-0-0".into(),
        ts_ms,
        client_ts_ms: Some(ts_ms + 1),
        sent_at_ms: None,
        received_at_ms: ts_ms + 2,
        user_id: String::new(),
        anonymous_id: format!("anonymous-{}", offset % 7),
        group_id: String::new(),
        previous_id: String::new(),
        visitor_id: (offset % 7).unsigned_abs() + 1,
        page_url: format!("https://example.com/{}?q=1", offset % 3),
        page_host: "example.com".into(),
        page_path: format!("/{}", offset % 3),
        page_query: "q=1".into(),
        page_title: "Ünïcode 🦀".into(),
        referrer: "https://search.example/".into(),
        referrer_host: "search.example".into(),
        utm_source: "news".into(),
        utm_medium: "mail".into(),
        utm_campaign: "january".into(),
        utm_term: "term".into(),
        utm_content: "content".into(),
        agent: "Mozilla/5.0".into(),
        browser: "Firefox".into(),
        browser_version: "140".into(),
        os: "Linux".into(),
        os_version: "6".into(),
        device: "Other".into(),
        is_bot: false,
        bot_reasons: vec![],
        locale: "de-DE".into(),
        address: "203.0.113.0".into(),
        library: "weir-js".into(),
        library_version: "1.0".into(),
        properties: object(&json!({"title": "x", "n": offset})),
        context: object(&json!({"screen": {"width": 800}})),
        warnings: vec!["clock".into()],
    }
}

pub(crate) fn object(value: &serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    value.as_object().unwrap().clone()
}

pub(crate) fn failure(offset: i64) -> Failure {
    Failure {
        reason: Reason::SchemaInvalid,
        errors: vec![FieldError {
            path: "/properties/total".into(),
            keyword: "minimum".into(),
            message: "-1 is less than 0".into(),
        }],
        event_id: format!("client-{offset}"),
        source_id: "web".into(),
        platform: "web".into(),
        r#type: "track".into(),
        name: "order_completed".into(),
        received_at_ms: NEW_YEAR_MS + offset * 60_000,
        payload: b"{\"a\":\n\n\xff}".to_vec(),
    }
}

pub(crate) fn at(source: &SourcePartition, offset: i64) -> Coordinates<'_> {
    Coordinates {
        stream: source.stream,
        topic: &source.topic,
        partition: source.partition,
        offset,
    }
}

/// Encodes events at the offsets from `first` on.
pub(crate) fn encode(
    encoder: &EventEncoder,
    source: &SourcePartition,
    first: i64,
    events: &[Event],
) -> Vec<u8> {
    let mut rows = Vec::new();
    for (event, offset) in events.iter().zip(first..) {
        let row = EventRow {
            at: at(source, offset),
            key_hash: offset as u32,
            event,
        };
        encoder.encode(&row, &mut rows);
    }
    rows
}

/// The insert of a batch into `events`.
pub(crate) fn request(
    encoder: &EventEncoder,
    source: &SourcePartition,
    range: OffsetRange,
    body: Body,
) -> InsertRequest {
    InsertRequest {
        table: "events",
        columns: encoder.column_list(),
        token: source.token(range, "events"),
        query_id: source.query_id(range, "events", Uuid::new_v4()),
        body,
        timeout: TIMEOUT,
    }
}

/// What a processor has at hand.
pub(crate) struct Writer {
    pub(crate) events: EventEncoder,
    pub(crate) failed: FailedEncoder,
    pub(crate) batches: BatchEncoder,
    pub(crate) connection: Connection,
}

impl Writer {
    pub(crate) async fn new(test: &TestDb) -> Self {
        Self {
            events: EventEncoder::load(&test.db).await.unwrap(),
            failed: FailedEncoder::load(&test.db).await.unwrap(),
            batches: BatchEncoder::load(&test.db).await.unwrap(),
            connection: test.db.inserter().unwrap().connect().await.unwrap(),
        }
    }

    /// Inserts rows of a batch into `events` under its token.
    pub(crate) async fn insert(
        &mut self,
        source: &SourcePartition,
        range: OffsetRange,
        body: Body,
    ) -> Result<Summary, InsertError> {
        let request = request(&self.events, source, range, body);
        self.connection.insert(&request, || true).await
    }

    /// Inserts page views as the events of the whole range.
    pub(crate) async fn page_views(&mut self, source: &SourcePartition, range: OffsetRange) {
        let events: Vec<_> = (range.first..=range.last).map(page_view).collect();
        let rows = encode(&self.events, source, range.first, &events);
        self.insert(source, range, Body::lz4(&rows)).await.unwrap();
    }

    /// Inserts failures of the offsets given, as those of a batch.
    pub(crate) async fn failures(
        &mut self,
        source: &SourcePartition,
        range: OffsetRange,
        offsets: &[i64],
    ) {
        let mut rows = Vec::new();
        for &offset in offsets {
            let row = FailedRow {
                at: at(source, offset),
                failure: &failure(offset),
                processor_version: "0.1.0",
                schema_set: "abc",
            };
            self.failed.encode(&row, &mut rows);
        }
        let request = InsertRequest {
            table: weir_clickhouse::rows::FailedEvents::NAME,
            columns: self.failed.column_list(),
            token: source.token(range, "failed_events"),
            query_id: source.query_id(range, "failed_events", Uuid::new_v4()),
            body: Body::lz4(&rows),
            timeout: TIMEOUT,
        };
        self.connection.insert(&request, || true).await.unwrap();
    }

    /// Records batches in the ledger.
    pub(crate) async fn record(&mut self, batches: &[BatchRow]) {
        weir_clickhouse::batches::record(&mut self.connection, &self.batches, batches, TIMEOUT)
            .await
            .unwrap();
    }
}

/// A ledger row of a batch all of whose records are events.
pub(crate) fn batch(source: &SourcePartition, range: OffsetRange) -> BatchRow {
    BatchRow {
        source: source.clone(),
        range,
        n_events: range.offsets(),
        n_failed: 0,
        n_lost: 0,
        n_absent: 0,
        min_received_at_ms: NEW_YEAR_MS,
        max_received_at_ms: NEW_YEAR_MS + 1,
        processor_version: "0.1.0".into(),
        schema_set: "abc".into(),
        shard: String::new(),
    }
}
