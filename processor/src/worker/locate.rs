//! Finding the position, what is stored of a range, and the state that belongs to it.

use std::sync::Arc;
use std::time::Duration;

use weir_clickhouse::insert::MAX_EXECUTION;
use weir_clickhouse::position::{self, Stored as Table};
use weir_clickhouse::state::{self, SeenQuery};
use weir_clickhouse::{OffsetRange, SourcePartition, running, stored, streams};
use weir_common::time::now_ms;

use super::{Shared, StepError, Worker};
use crate::dedup::{DedupWindow, first_counted_ms};
use crate::exactly_once::{Found, Mark, Outcome, Plan, Stored, plan};
use crate::group::Group;
use crate::prepare::{OutputRecord, StoredId, failed_output, valid_output};

impl Worker {
    pub(super) async fn locate(&mut self) -> Outcome {
        let shared = Arc::clone(&self.shared);
        let group = self.group.clone();
        let source = self.source.clone();
        let found = self
            .persist("finding the position", || find(&shared, &group, &source))
            .await;
        let Some(found) = found else {
            return Outcome::GaveUp;
        };
        if self.source.stream != found.stream {
            self.source.stream = found.stream;
            self.window_next = None;
        }
        self.report(&found);
        Outcome::Found(Box::new(found))
    }

    fn report(&self, found: &Found) {
        let topic = &*self.source.topic;
        let next = found.ledger_high.map_or(found.log_start, |high| high + 1);
        self.set_position(Some(next));
        let name = match plan(found) {
            Plan::Continue { next_offset } => {
                tracing::info!(source = %self.source, next_offset, "going on");
                return;
            }
            Plan::Replay { intent } => {
                tracing::info!(source = %self.source, range = %intent.range, "replaying a declared batch");
                "intent"
            }
            Plan::Orphans { range } => {
                tracing::error!(source = %self.source, %range, "rows are stored that nothing declares; their rollups are queued for repair");
                "orphans"
            }
            Plan::Lost { range } => {
                tracing::error!(source = %self.source, %range, "kafka deleted records before they were read");
                "lost"
            }
            // Reported where the partition stands still.
            Plan::Stop(_) => return,
        };
        let replays = &self.shared.metrics.replays;
        replays.with_label_values(&[topic, name]).inc();
    }

    pub(super) async fn await_quiet(&mut self, until_ms: i64) -> Outcome {
        loop {
            let wait = until_ms - now_ms();
            if wait <= 0 {
                break;
            }
            if self.is_stopping() {
                return Outcome::GaveUp;
            }
            self.sleep(Duration::from_millis(wait.unsigned_abs())).await;
        }
        let shared = Arc::clone(&self.shared);
        let source = self.source.clone();
        let quiet = self
            .persist("waiting for a predecessor's inserts", || {
                quiet(&shared, &source)
            })
            .await;
        match quiet {
            Some(()) => Outcome::Done,
            None => Outcome::GaveUp,
        }
    }

    pub(super) async fn read_stored(&mut self, range: OffsetRange) -> Outcome {
        let shared = Arc::clone(&self.shared);
        let source = self.source.clone();
        let read = self
            .persist("reading what is stored", || {
                read_stored(&shared, &source, range)
            })
            .await;
        let Some((stored, ids)) = read else {
            return Outcome::GaveUp;
        };
        self.work.stored = ids.into_iter().collect();
        Outcome::Stored(stored)
    }

    pub(super) async fn load_state(&mut self, below: i64) -> Outcome {
        if self.window_next == Some(below) {
            return Outcome::Done;
        }
        self.window_next = None;
        let shared = Arc::clone(&self.shared);
        let source = self.source.clone();
        let window = self
            .persist("rebuilding the deduplication state", || {
                load_window(&shared, &source, below)
            })
            .await;
        let Some(window) = window else {
            return Outcome::GaveUp;
        };
        tracing::info!(source = %self.source, ids = window.len(), below, "deduplication state is rebuilt");
        self.window = window;
        self.window_next = Some(below);
        Outcome::Done
    }

    /// The outputs of what was decided before: as it is stored, whatever today's code makes of the records.
    pub(super) async fn stored_outputs(&mut self, range: OffsetRange) -> Option<Vec<OutputRecord>> {
        let shared = Arc::clone(&self.shared);
        let source = self.source.clone();
        let (events, failures) = self
            .persist("reading stored verdicts", || async {
                let events = stored::canonical(&shared.db, &source, range).await?;
                let failures = stored::failures(&shared.db, &source, range).await?;
                Ok::<_, weir_clickhouse::Error>((events, failures))
            })
            .await?;
        let records = &self.work.records;
        let output = |valid, offset: i64, value| {
            let record = records.binary_search_by_key(&offset, |record| record.offset);
            OutputRecord {
                valid,
                key: record.ok().and_then(|index| records[index].key.clone()),
                value,
            }
        };
        let events = events
            .iter()
            .map(|(at, event)| output(true, *at, valid_output(&source, *at, event)));
        let failures = failures
            .iter()
            .map(|(at, failure)| output(false, *at, failed_output(&source, *at, failure)));
        Some(events.chain(failures).collect())
    }
}

async fn current_stream(shared: &Shared, source: &SourcePartition) -> Result<u32, StepError> {
    streams::current(&shared.db, &source.topic)
        .await?
        .ok_or_else(|| {
            StepError::Operator(format!(
                "topic {} has no stream yet: run `weir topics apply`",
                source.topic
            ))
        })
}

async fn quiet(shared: &Shared, source: &SourcePartition) -> Result<(), StepError> {
    let stream = current_stream(shared, source).await?;
    let source = SourcePartition::new(stream, Arc::clone(&source.topic), source.partition);
    running::wait_until_none(&shared.db, &source.query_id_prefix(), MAX_EXECUTION).await?;
    Ok(())
}

async fn find(
    shared: &Shared,
    group: &Group,
    source: &SourcePartition,
) -> Result<Found, StepError> {
    let db = &shared.db;
    let stream = current_stream(shared, source).await?;
    let source = SourcePartition::new(stream, Arc::clone(&source.topic), source.partition);
    position::sync_replica(db, Table::Events).await?;
    position::sync_replica(db, Table::Failed).await?;
    let committed = group
        .committed(Arc::clone(&source.topic), source.partition)
        .await?;
    let mark = match committed.offset {
        None => None,
        Some(offset) => Mark::from_metadata(offset, &committed.metadata).unwrap_or_else(|error| {
            tracing::warn!(%error, %source, offset, "the committed offset's metadata is ignored");
            None
        }),
    };
    let ledger_high = position::ledger_end(db, &source).await?;
    let highest_above =
        position::highest_stored_above(db, &source, ledger_high.unwrap_or(-1)).await?;
    let ledger_rows_since = match &mark {
        Some(Mark::Intent(intent)) => position::batches_since(db, intent.declared_at_ms).await?,
        Some(Mark::Position { .. }) | None => 0,
    };
    let topic = Arc::clone(&source.topic);
    let (log_start, log_end) = shared.reader.bounds(topic, source.partition).await?;
    Ok(Found {
        stream,
        committed: committed.offset,
        mark,
        ledger_high,
        highest_above,
        ledger_rows_since,
        log_start,
        log_end,
        now_ms: now_ms(),
    })
}

async fn read_stored(
    shared: &Shared,
    source: &SourcePartition,
    range: OffsetRange,
) -> Result<(Stored, Vec<(i64, StoredId)>), StepError> {
    let db = &shared.db;
    position::sync_replica(db, Table::Events).await?;
    position::sync_replica(db, Table::Failed).await?;
    let ids = stored::ids(db, source, range).await?;
    let failed = position::stored_offsets(db, Table::Failed, source, range).await?;
    let stored = Stored {
        events: ids.iter().map(|(offset, _)| *offset).collect(),
        failed,
    };
    let ids = ids
        .into_iter()
        .map(|(offset, seen)| {
            let id = StoredId {
                source_id: seen.source_id,
                event_id: seen.event_id,
                received_at_ms: seen.received_at_ms,
            };
            (offset, id)
        })
        .collect();
    Ok((stored, ids))
}

async fn load_window(
    shared: &Shared,
    source: &SourcePartition,
    below: i64,
) -> Result<DedupWindow, StepError> {
    let mut window = DedupWindow::new(shared.dedup_window_ms, shared.dedup_share());
    let partitions = shared.reader.partitions(Arc::clone(&source.topic)).await?;
    let platform = shared.platforms.get(&*source.topic);
    let mut query = SeenQuery {
        source,
        platform: platform.map_or("", String::as_str),
        partitions,
        below,
        after_ms: 0,
    };
    let Some(latest_ms) = state::latest_received_ms(&shared.db, &query).await? else {
        return Ok(window);
    };
    query.after_ms = first_counted_ms(latest_ms, shared.dedup_window_ms) - 1;
    let mut seen = state::seen(&shared.db, &query)?;
    while let Some(event) = seen.next().await? {
        window.restore(&event.source_id, event.event_id, event.received_at_ms);
    }
    window.expire();
    Ok(window)
}
