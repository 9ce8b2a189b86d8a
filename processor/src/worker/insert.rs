//! Inserts: the same bytes until they are in, within the limits that keep a late one harmless.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_clickhouse::compress::Body;
use weir_clickhouse::insert::{InsertError, InsertRequest};
use weir_clickhouse::rows::BatchRow;
use weir_clickhouse::{Class, OffsetRange, batches, readback, repairs};
use weir_common::backoff::Backoff;
use weir_common::time::boot_ms;

use super::{STOP_PAUSE, Worker};
use crate::exactly_once::{LedgerEntry, Outcome};
use crate::prepare::Codec;

/// How long one insert may take, from its first byte to the answer: the server ends it at 30 s by itself.
const INSERT_TIMEOUT: Duration = Duration::from_secs(35);
/// How long a ledger row is tried before the batch is found again.
const LEDGER_PATIENCE: Duration = Duration::from_secs(60);

/// One insert to be made.
struct Insert {
    table: &'static str,
    columns: Arc<str>,
    token: String,
    range: OffsetRange,
    body: Body,
}

impl Worker {
    pub(super) async fn insert_events(&mut self, range: OffsetRange) -> Outcome {
        let Some(codec) = &self.work.codec else {
            return Outcome::GaveUp;
        };
        let rows = &self.work.prepared.events;
        self.count_bytes(rows.len());
        let insert = Insert {
            table: "events",
            columns: codec.events.column_list(),
            token: self.source.token(range, "events"),
            range,
            body: Body::lz4(rows),
        };
        self.insert(insert).await
    }

    pub(super) async fn resend_events(&mut self, range: OffsetRange) -> Outcome {
        let shared = Arc::clone(&self.shared);
        let codec = shared.codec();
        let source = self.source.clone();
        let body = self
            .persist("reading stored rows", || {
                readback::body(&shared.db, &codec.events, &source, range)
            })
            .await;
        let Some(body) = body else {
            return Outcome::GaveUp;
        };
        let insert = Insert {
            table: "events",
            columns: codec.events.column_list(),
            token: self.source.token(range, "events"),
            range,
            body,
        };
        let outcome = self.insert(insert).await;
        if let Outcome::Unreadable { message, .. } = &outcome {
            // The table itself gave these bytes.
            let reason = format!("clickhouse cannot read rows it gave: {message}");
            self.stand_still(reason).await;
            return Outcome::GaveUp;
        }
        if outcome == Outcome::Done {
            tracing::info!(source = %self.source, %range, "stored rows were sent again, so that every view has them");
            let replays = &self.shared.metrics.replays;
            replays
                .with_label_values(&[&*self.source.topic, "resent"])
                .inc();
        }
        outcome
    }

    pub(super) async fn insert_failed(&mut self, range: OffsetRange, token_taken: bool) -> Outcome {
        let Some(codec) = &self.work.codec else {
            return Outcome::GaveUp;
        };
        let rows = &self.work.prepared.failed;
        self.count_bytes(rows.len());
        let mut token = self.source.token(range, "failed_events");
        if token_taken && let Some(first) = self.work.judgement.failed.first() {
            token = format!("{token}:{first}");
        }
        let insert = Insert {
            table: "failed_events",
            columns: codec.failed.column_list(),
            token,
            range,
            body: Body::lz4(rows),
        };
        match self.insert(insert).await {
            // These rows hold only texts that any column takes: nothing of them can be left out.
            Outcome::Unreadable { message, .. } => {
                self.stand_still(format!(
                    "clickhouse cannot read rows of failed_events: {message}"
                ))
                .await;
                Outcome::GaveUp
            }
            other => other,
        }
    }

    fn count_bytes(&self, bytes: usize) {
        self.shared.metrics.insert_bytes.inc_by(bytes as u64);
    }

    async fn insert(&mut self, insert: Insert) -> Outcome {
        let begun = Instant::now();
        let mut pause = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let first_byte_ms = self.shared.rules.first_byte_ms.unsigned_abs();
        let intent = self.intent_boot_ms;
        let may_send = || boot_ms() - intent < first_byte_ms;
        let mut tried_before = false;
        loop {
            // After a try whose effect is not known, and too late for another, only looking helps: the token may be
            // forgotten by then.
            if self.is_lost() || (tried_before && !may_send()) {
                return Outcome::GaveUp;
            }
            let request = InsertRequest {
                table: insert.table,
                columns: Arc::clone(&insert.columns),
                token: insert.token.clone(),
                query_id: self.source.query_id(
                    insert.range,
                    insert.table,
                    format_args!("{:x}-{}", std::process::id(), uuid::Uuid::new_v4().simple()),
                ),
                body: insert.body.clone(),
                timeout: INSERT_TIMEOUT,
            };
            let tried = match self.shared.inserter.reuse(&mut self.connection).await {
                Ok(connection) => connection.insert(&request, may_send).await,
                Err(error) => Err(InsertError::Failed(error)),
            };
            let error = match tried {
                Ok(_) => {
                    let elapsed = begun.elapsed().as_secs_f64();
                    self.shared.metrics.insert_seconds.observe(elapsed);
                    self.well();
                    return Outcome::Done;
                }
                Err(InsertError::Withheld) if tried_before => return Outcome::GaveUp,
                Err(InsertError::Withheld) => return Outcome::TooLate,
                Err(InsertError::Closed) => {
                    self.connection = None;
                    continue;
                }
                Err(InsertError::Failed(error)) => error,
            };
            tried_before = true;
            self.connection = None;
            let class = error.class();
            if matches!(class, Class::Stop | Class::UnreadableRow { .. })
                && self.columns_changed().await
            {
                return Outcome::GaveUp;
            }
            let (name, delay) = match class {
                Class::UnreadableRow { row: Some(row) } => {
                    tracing::warn!(error = error.brief(), source = %self.source, range = %insert.range, row, "clickhouse cannot read a row");
                    return Outcome::Unreadable {
                        row: usize::try_from(row).unwrap_or(usize::MAX),
                        message: error.to_string(),
                    };
                }
                Class::Retry => ("retry", pause.next_delay()),
                Class::Killed => ("killed", pause.next_delay()),
                Class::Stop | Class::UnreadableRow { row: None } => ("stop", STOP_PAUSE),
            };
            tracing::warn!(error = error.brief(), class = name, source = %self.source, range = %insert.range, table = insert.table, "an insert failed");
            let retries = &self.shared.metrics.insert_retries;
            retries.with_label_values(&[name]).inc();
            self.unwell(&error.into());
            self.sleep(delay).await;
        }
    }

    /// Whether the tables' columns are others than the rows were encoded for; then the new ones are taken, and the batch
    /// has to be encoded again.
    async fn columns_changed(&mut self) -> bool {
        let codec = self.shared.codec();
        if let Some(used) = &self.work.codec
            && !Arc::ptr_eq(used, &codec)
        {
            return true;
        }
        let db = &self.shared.db;
        let current = async {
            Ok::<_, weir_clickhouse::Error>(
                codec.events.is_current(db).await? && codec.failed.is_current(db).await?,
            )
        };
        // A column that is missing altogether is an operator's matter, and was reported as such.
        if current.await.unwrap_or(true) {
            return false;
        }
        match Codec::load(db, Arc::clone(&codec.evaluator)).await {
            Ok(codec) => {
                tracing::info!("the tables have other columns than before");
                self.shared.replace_codec(codec);
                true
            }
            Err(error) => {
                tracing::warn!(error = error.brief(), "the tables' columns cannot be read");
                false
            }
        }
    }

    pub(super) async fn insert_ledger(&mut self, entry: LedgerEntry) -> Outcome {
        let (min_received_at_ms, max_received_at_ms) =
            self.work.prepared.received.unwrap_or_default();
        let row = BatchRow {
            source: self.source.clone(),
            range: entry.range,
            n_events: entry.events,
            n_failed: entry.failed,
            n_lost: entry.lost,
            n_absent: entry.absent,
            min_received_at_ms,
            max_received_at_ms,
            processor_version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_set: self.shared.codec().evaluator.registry().digest().to_owned(),
            shard: self.shared.rules.shard.clone(),
        };
        let begun = Instant::now();
        let mut pause = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            if self.is_lost() {
                return Outcome::GaveUp;
            }
            let recorded = match self.shared.inserter.reuse(&mut self.connection).await {
                Ok(connection) => {
                    let rows = std::slice::from_ref(&row);
                    batches::record(connection, &self.shared.ledger, rows, INSERT_TIMEOUT).await
                }
                Err(error) => Err(InsertError::Failed(error)),
            };
            match recorded {
                Ok(()) => {
                    self.recorded(entry);
                    return Outcome::Done;
                }
                Err(InsertError::Closed | InsertError::Withheld) => self.connection = None,
                Err(InsertError::Failed(error)) => {
                    self.connection = None;
                    tracing::warn!(error = error.brief(), source = %self.source, range = %entry.range, "the ledger row is tried again");
                    let stop = error.class() == Class::Stop;
                    self.unwell(&error.into());
                    if begun.elapsed() > LEDGER_PATIENCE {
                        return Outcome::GaveUp;
                    }
                    let delay = if stop { STOP_PAUSE } else { pause.next_delay() };
                    self.sleep(delay).await;
                }
            }
        }
    }

    /// The batch is accounted for.
    fn recorded(&mut self, entry: LedgerEntry) {
        self.well();
        self.window.set_max_ids(self.shared.dedup_share());
        self.window.keep();
        // A window that was never built, or stands elsewhere, does not become whole by one batch.
        self.window_next =
            (self.window_next == Some(entry.range.first)).then_some(entry.range.last + 1);
        self.set_position(Some(entry.range.last + 1));
        self.count(entry);
        self.work = super::Work::default();
    }

    pub(super) async fn queue_repair(&mut self, range: OffsetRange) -> Outcome {
        tracing::warn!(source = %self.source, %range, "rollups of the range are queued for repair");
        let shared = Arc::clone(&self.shared);
        let source = self.source.clone();
        let queued = self
            .persist("queueing a repair", || {
                repairs::queue(&shared.db, &source, range, "replay")
            })
            .await;
        match queued {
            Some(_) => Outcome::Done,
            None => Outcome::GaveUp,
        }
    }
}
