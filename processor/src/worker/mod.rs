//! One partition's worker: takes each step of the exactly-once machine on the real Kafka and the real ClickHouse.
//!
//! One task owns a partition's inserts and commits. What it may do ends with the assignment: when the partition is
//! revoked it finishes the batch that is declared, when it is lost it finishes the insert that is under way.

mod collect;
#[cfg(debug_assertions)]
mod halt;
mod insert;
mod locate;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use weir_clickhouse::insert::{Connection, Inserter};
use weir_clickhouse::rows::BatchEncoder;
use weir_clickhouse::{Class, Db, OffsetRange, SourcePartition};
use weir_common::backoff::Backoff;
use weir_common::telemetry::Health;
use weir_common::time::{boot_ms, now_ms};

use crate::batch::BatchLimits;
use crate::dedup::DedupWindow;
use crate::exactly_once::{
    Command, Decided, Judgement, LedgerEntry, Machine, Mark, Outcome, Presence, Rules, settle,
};
use crate::group::{CommitError, Group};
use crate::metrics::ProcessorMetrics;
use crate::outputs::Outputs;
use crate::pacer::Pacer;
use crate::prepare::{Codec, Prepared, Preparer, RawRecord, StoredId};
use crate::reader::{PartitionReader, Reader};

/// How long a step that only an operator can mend is left alone before it is tried again.
const STOP_PAUSE: Duration = Duration::from_secs(30);
/// How long a commit is tried before the batch is given up and found again.
const COMMIT_PATIENCE: Duration = Duration::from_secs(60);

/// What a worker may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signal {
    /// Everything.
    Run,
    /// Finish the batch that is declared.
    Drain,
    /// Finish the insert under way, nothing else.
    Lost,
}

/// What all workers of a process share.
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) inserter: Inserter,
    pub(crate) codec: RwLock<Arc<Codec>>,
    pub(crate) ledger: BatchEncoder,
    pub(crate) reader: Reader,
    pub(crate) outputs: Outputs,
    pub(crate) metrics: ProcessorMetrics,
    pub(crate) health: Health,
    pub(crate) pacer: Pacer,
    pub(crate) limits: BatchLimits,
    pub(crate) rules: Rules,
    pub(crate) dedup_window_ms: i64,
    pub(crate) dedup_max_ids: usize,
    /// Platform of each raw topic.
    pub(crate) platforms: HashMap<String, String>,
    /// The next offset of each partition that is ours.
    pub(crate) positions: Mutex<HashMap<(Arc<str>, i32), i64>>,
}

impl Shared {
    /// Returns the codec for the tables as they were last read.
    fn codec(&self) -> Arc<Codec> {
        Arc::clone(&self.codec.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the ids each partition may remember: the bound is shared by all of them.
    fn dedup_share(&self) -> usize {
        self.dedup_max_ids / self.positions().len().max(1)
    }

    /// Returns the next offset of each partition that is ours.
    pub(crate) fn positions(&self) -> Vec<((Arc<str>, i32), i64)> {
        let positions = self
            .positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let copied = positions.iter().map(|(at, next)| (at.clone(), *next));
        copied.collect()
    }

    fn replace_codec(&self, codec: Codec) {
        *self.codec.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(codec);
    }
}

/// The batch in hand.
#[derive(Default)]
struct Work {
    range: Option<OffsetRange>,
    records: Vec<RawRecord>,
    /// The first offset Kafka still had when the records were read.
    log_start: i64,
    /// Stored events of the range, for the state.
    stored: HashMap<i64, StoredId>,
    decided: Decided,
    judgement: Judgement,
    prepared: Prepared,
    /// What the rows were encoded with.
    codec: Option<Arc<Codec>>,
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    group: Group,
    source: SourcePartition,
    component: String,
    signal: watch::Receiver<Signal>,
    machine: Machine,
    window: DedupWindow,
    /// The first offset that is not in the window; `None` when the window has to be rebuilt.
    window_next: Option<i64>,
    work: Work,
    reader: Option<PartitionReader>,
    /// A record that was read and belongs to the next batch.
    carry: Option<RawRecord>,
    connection: Option<Connection>,
    /// When the last intent was sent, on the clock that goes on while the machine sleeps.
    intent_boot_ms: u64,
    /// Whether reading broke off and has not gone well since.
    reading_is_broken: bool,
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        group: Group,
        (topic, partition): (Arc<str>, i32),
        signal: watch::Receiver<Signal>,
    ) -> Self {
        let window = DedupWindow::new(shared.dedup_window_ms, shared.dedup_share());
        let machine = Machine::new(shared.rules.clone());
        Self {
            component: format!("partition {topic}/{partition}"),
            source: SourcePartition::new(0, topic, partition),
            shared,
            group,
            signal,
            machine,
            window,
            window_next: None,
            work: Work::default(),
            reader: None,
            carry: None,
            connection: None,
            intent_boot_ms: 0,
            reading_is_broken: false,
        }
    }

    /// Works until the partition is taken away.
    ///
    /// # Cancel safety
    /// Dropping the future is like a crash: the next owner finds what was begun.
    pub(crate) async fn run(mut self) {
        self.shared
            .health
            .not_ready(&self.component, "finding its position");
        let mut pause = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        while self.may_go_on() {
            let command = self.machine.command();
            tracing::trace!(source = %self.source, ?command, "next step");
            #[cfg(debug_assertions)]
            halt::point(&command, halt::Side::Before);
            let outcome = self.execute(&command).await;
            #[cfg(debug_assertions)]
            halt::point(&command, halt::Side::After);
            let gave_up = outcome == Outcome::GaveUp;
            self.machine.advance(outcome);
            if gave_up {
                self.give_up();
                if self.may_go_on() {
                    self.sleep(pause.next_delay()).await;
                }
            } else if matches!(command, Command::InsertLedger(_)) {
                pause.reset();
            }
        }
        self.shared.health.remove(&self.component);
        self.set_position(None);
        self.shared
            .metrics
            .forget(&self.source.topic, self.source.partition);
    }

    fn may_go_on(&self) -> bool {
        match *self.signal.borrow() {
            Signal::Run => true,
            Signal::Drain => !self.machine.is_idle(),
            Signal::Lost => false,
        }
    }

    /// Whether waiting for something new makes sense.
    fn is_stopping(&self) -> bool {
        *self.signal.borrow() != Signal::Run
    }

    fn is_lost(&self) -> bool {
        *self.signal.borrow() == Signal::Lost
    }

    async fn execute(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Locate => self.locate().await,
            Command::Stop(reason) => {
                self.stand_still(reason.to_string()).await;
                Outcome::Done
            }
            Command::LoadState { below } => self.load_state(*below).await,
            Command::AwaitQuiet { until_ms } => self.await_quiet(*until_ms).await,
            Command::ReadStored(range) => self.read_stored(*range).await,
            Command::Fetch(range) => self.fetch(*range).await,
            Command::Collect { next_offset } => self.collect(*next_offset).await,
            Command::Judge { range, decided } => self.judge(*range, decided.clone()),
            Command::CommitIntent(intent) => {
                let at_ms = now_ms();
                self.intent_boot_ms = boot_ms();
                let mut intent = intent.clone();
                if intent.declared_at_ms == 0 {
                    intent.declared_at_ms = at_ms;
                }
                match self
                    .commit((intent.range.first, &Mark::Intent(intent)))
                    .await
                {
                    Outcome::Done => Outcome::Committed { at_ms },
                    refused => refused,
                }
            }
            Command::InsertEvents(range) => self.insert_events(*range).await,
            Command::ResendEvents(range) => self.resend_events(*range).await,
            Command::InsertFailed { range, token_taken } => {
                self.insert_failed(*range, *token_taken).await
            }
            Command::QueueRepair(range) => self.queue_repair(*range).await,
            Command::Publish(range) => self.publish(*range).await,
            Command::InsertLedger(entry) => self.insert_ledger(*entry).await,
            Command::CommitPosition { next_offset } => {
                let mark = Mark::Position {
                    stream: self.machine.stream(),
                };
                self.commit((*next_offset, &mark)).await
            }
        }
    }

    /// Drops what is in hand: it is found again, or read again.
    fn give_up(&mut self) {
        self.work = Work::default();
        self.window.take_back();
        self.reader = None;
        self.carry = None;
    }

    fn judge(&mut self, range: OffsetRange, decided: Decided) -> Outcome {
        let Self {
            shared,
            source,
            window,
            work,
            ..
        } = self;
        let work_records = &work.records;
        let log_start = work.log_start;
        let presence = |offset: i64| {
            if work_records
                .binary_search_by_key(&offset, |record| record.offset)
                .is_ok()
            {
                Presence::Here
            } else if offset < log_start {
                Presence::Lost
            } else {
                Presence::Absent
            }
        };
        let codec = shared.codec();
        let (judgement, prepared) = tokio::task::block_in_place(|| {
            let mut preparer = Preparer::new(&codec, source, window, work_records)
                .with_decided(&work.stored, &decided.unreadable);
            let judgement = settle(range, &decided, presence, &mut preparer);
            (judgement, preparer.finish())
        });
        work.range = Some(range);
        work.decided = decided;
        work.judgement = judgement.clone();
        work.prepared = prepared;
        work.codec = Some(codec);
        Outcome::Judged(judgement)
    }

    async fn commit(&mut self, (offset, mark): (i64, &Mark)) -> Outcome {
        let begun = boot_ms();
        let mut pause = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            if self.is_lost() {
                return Outcome::GaveUp;
            }
            let (topic, partition) = (Arc::clone(&self.source.topic), self.source.partition);
            match self.group.commit(topic, partition, (offset, mark)).await {
                Ok(()) => return Outcome::Done,
                Err(CommitError::Passing(error)) => {
                    tracing::warn!(%error, source = %self.source, offset, "the commit is tried again");
                    if Duration::from_millis(boot_ms() - begun) > COMMIT_PATIENCE {
                        return Outcome::GaveUp;
                    }
                    self.sleep(pause.next_delay()).await;
                }
                Err(error @ CommitError::Refused(_)) => {
                    tracing::warn!(%error, source = %self.source, offset, "the batch in hand is given up");
                    return Outcome::GaveUp;
                }
            }
        }
    }

    async fn publish(&mut self, range: OffsetRange) -> Outcome {
        // The tables hold all of the verdicts by now; what is in hand are those of this process.
        let decided = &self.work.decided.stored;
        let outputs = if decided.events.is_empty() && decided.failed.is_empty() {
            std::mem::take(&mut self.work.prepared.outputs)
        } else {
            match self.stored_outputs(range).await {
                Some(stored) => stored,
                None => return Outcome::GaveUp,
            }
        };
        let shared = Arc::clone(&self.shared);
        let published = self
            .persist("publish", || shared.outputs.publish(&outputs))
            .await;
        match published {
            Some(()) => Outcome::Done,
            None => Outcome::GaveUp,
        }
    }

    /// Tries until it succeeds; `None` as soon as the partition is lost, or to be given up with nothing declared.
    async fn persist<T, E, F>(&mut self, what: &str, mut call: impl FnMut() -> F) -> Option<T>
    where
        E: Into<StepError>,
        F: Future<Output = Result<T, E>>,
    {
        let mut pause = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        let mut troubled = false;
        loop {
            let idle = self.machine.is_idle();
            let mut signal = self.signal.clone();
            let moot =
                |signal: &Signal| *signal == Signal::Lost || (*signal != Signal::Run && idle);
            let result = tokio::select! {
                result = call() => result,
                _ = signal.wait_for(moot) => return None,
            };
            match result {
                Ok(value) => {
                    if troubled {
                        self.well();
                    }
                    return Some(value);
                }
                Err(error) => {
                    troubled = true;
                    let error = error.into();
                    tracing::warn!(%error, source = %self.source, "{what} failed and is tried again");
                    self.unwell(&error);
                    let delay = match error.class() {
                        Class::Stop | Class::UnreadableRow { .. } => STOP_PAUSE,
                        Class::Retry | Class::Killed => pause.next_delay(),
                    };
                    self.sleep(delay).await;
                }
            }
        }
    }

    fn well(&self) {
        self.shared.health.ready(&self.component);
        self.stopped_gauge(0);
    }

    fn unwell(&self, error: &StepError) {
        self.shared
            .health
            .not_ready(&self.component, error.to_string());
        self.stopped_gauge(i64::from(error.class() == Class::Stop));
    }

    fn stopped_gauge(&self, value: i64) {
        let partition = self.source.partition.to_string();
        self.shared
            .metrics
            .stopped
            .with_label_values(&[&*self.source.topic, &partition])
            .set(value);
    }

    /// Tells where the partition stands, for the lag; `None` when it is no longer ours.
    fn set_position(&self, next_offset: Option<i64>) {
        let at = (Arc::clone(&self.source.topic), self.source.partition);
        let mut positions = self
            .shared
            .positions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match next_offset {
            Some(next_offset) => positions.insert(at, next_offset),
            None => positions.remove(&at),
        };
    }

    /// Reports why nothing happens, and lets some time pass.
    async fn stand_still(&mut self, reason: String) {
        tracing::error!(source = %self.source, reason, "the partition is stopped");
        self.shared.health.not_ready(&self.component, reason);
        self.stopped_gauge(1);
        self.sleep(STOP_PAUSE).await;
    }

    /// Sleeps, less long when the signal changes.
    async fn sleep(&mut self, duration: Duration) {
        let mut signal = self.signal.clone();
        signal.mark_unchanged();
        if *signal.borrow() == Signal::Lost {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = signal.changed() => {}
        }
    }

    fn count(&self, entry: LedgerEntry) {
        let metrics = &self.shared.metrics;
        let topic = &*self.source.topic;
        let outcome = |name: &str, count: u64| {
            metrics
                .events
                .with_label_values(&[topic, name])
                .inc_by(count);
        };
        outcome("accepted", entry.events);
        outcome("failed", entry.failed);
        for (reason, count) in &self.work.prepared.reasons {
            metrics
                .failed
                .with_label_values(&[topic, reason])
                .inc_by(*count);
        }
        if entry.lost > 0 {
            metrics.lost.with_label_values(&[topic]).inc_by(entry.lost);
            tracing::error!(source = %self.source, range = %entry.range, lost = entry.lost, "kafka deleted records before they were read");
        }
        if let Some((earliest, _)) = self.work.prepared.received {
            let age = (now_ms() - earliest).max(0);
            metrics.event_age.observe(age as f64 / 1_000.0);
        }
        let partition = self.source.partition.to_string();
        let at = [topic, &*partition];
        let ids = i64::try_from(self.window.len()).unwrap_or(i64::MAX);
        metrics.dedup_ids.with_label_values(&at).set(ids);
        metrics
            .dedup_window_seconds
            .with_label_values(&at)
            .set(self.window.covered_ms() / 1_000);
    }
}

/// What a step met.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// ClickHouse.
    #[error("{}", .0.brief())]
    ClickHouse(#[from] weir_clickhouse::Error),
    /// Kafka.
    #[error(transparent)]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// Something an operator has to mend.
    #[error("{0}")]
    Operator(String),
}

impl StepError {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::ClickHouse(error) => error.class(),
            Self::Kafka(_) => Class::Retry,
            Self::Operator(_) => Class::Stop,
        }
    }
}
