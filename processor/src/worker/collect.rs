//! Gathering the next batch, and reading a range again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_clickhouse::OffsetRange;
use weir_event::Record;

use super::{StepError, Work, Worker};
use crate::batch::{BatchSize, Month};
use crate::exactly_once::Outcome;
use crate::prepare::RawRecord;

/// How long an empty partition is waited for at a time.
const IDLE: Duration = Duration::from_secs(10);

/// What came next.
enum Next {
    Record(RawRecord),
    /// The batch has waited long enough.
    Due,
    /// The partition is to be given up.
    Stopping,
    /// The reading broke off.
    Broken,
}

impl Worker {
    /// Gathers a batch from `next_offset` on.
    pub(super) async fn collect(&mut self, next_offset: i64) -> Outcome {
        if !self.is_reading_at(next_offset) && !self.open(next_offset).await {
            return Outcome::GaveUp;
        }
        if !self.reading_is_broken {
            self.well();
        }
        self.work = Work::default();
        let limits = self.shared.limits;
        let mut size = BatchSize::default();
        let mut expected = next_offset;
        let mut due = None;
        let mut paced = false;
        loop {
            let record = match self.next_record(due).await {
                Next::Record(record) => record,
                Next::Due if size.is_empty() => {
                    due = None;
                    continue;
                }
                Next::Due if paced => break,
                Next::Due => {
                    // Only what closes by age waits for its turn among the partitions.
                    paced = true;
                    due = Some(self.shared.pacer.take(Instant::now()));
                    continue;
                }
                Next::Stopping | Next::Broken => return Outcome::GaveUp,
            };
            if record.offset > expected {
                if !size.is_empty() {
                    self.carry = Some(record);
                    break;
                }
                return self.collect_gap(expected, record).await;
            }
            let month = Month::of(self.received_at_ms(&record));
            let bytes = record.payload.len();
            if size.splits_before(&limits, bytes, month) {
                self.carry = Some(record);
                break;
            }
            if size.is_empty() {
                due = Some(Instant::now() + limits.max_age);
            }
            size.add(bytes, month);
            expected = record.offset + 1;
            self.work.records.push(record);
            if size.is_full(&limits) {
                break;
            }
        }
        Outcome::Collected(OffsetRange {
            first: next_offset,
            last: expected - 1,
        })
    }

    /// Reads the records of a range again, unless they are in hand.
    pub(super) async fn fetch(&mut self, range: OffsetRange) -> Outcome {
        if self.work.range == Some(range) {
            return Outcome::Done;
        }
        let (topic, partition) = (Arc::clone(&self.source.topic), self.source.partition);
        let reader = self.shared.reader.clone();
        let read = self
            .persist("reading a range again", || {
                reader.exact(Arc::clone(&topic), partition, range)
            })
            .await;
        let Some(read) = read else {
            return Outcome::GaveUp;
        };
        self.work.records = read.records;
        self.work.log_start = read.log_start;
        // What follows the range has to be read from there.
        self.reader = None;
        self.carry = None;
        Outcome::Done
    }

    /// The offsets from `expected` up to a record are missing: makes sure of it before they are called absent. Such a
    /// batch is one month by its last record alone, so only that record is taken.
    async fn collect_gap(&mut self, expected: i64, record: RawRecord) -> Outcome {
        let gap = OffsetRange {
            first: expected,
            last: record.offset - 1,
        };
        tracing::warn!(source = %self.source, %gap, "offsets hold no record");
        match self.fetch(gap).await {
            Outcome::Done => Outcome::Collected(gap),
            other => other,
        }
    }

    fn received_at_ms(&self, record: &RawRecord) -> i64 {
        self.shared.codec().evaluator.received_at_ms(&Record {
            topic: &self.source.topic,
            partition: self.source.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            payload: &record.payload,
        })
    }

    fn is_reading_at(&self, next_offset: i64) -> bool {
        match (&self.carry, &self.reader) {
            (Some(carry), Some(_)) => carry.offset == next_offset,
            (None, Some(reader)) => reader.next_offset() == next_offset,
            (_, None) => false,
        }
    }

    async fn open(&mut self, next_offset: i64) -> bool {
        // The old one lets go of the partition before the new one takes it.
        self.reader = None;
        self.carry = None;
        let (topic, partition) = (Arc::clone(&self.source.topic), self.source.partition);
        let reader = self.shared.reader.clone();
        self.reader = self
            .persist("starting to read", || {
                reader.open(Arc::clone(&topic), partition, next_offset)
            })
            .await;
        self.reader.is_some()
    }

    fn reading_went_well(&mut self) {
        if self.reading_is_broken {
            self.reading_is_broken = false;
            self.well();
        }
    }

    async fn next_record(&mut self, due: Option<Instant>) -> Next {
        if let Some(record) = self.carry.take() {
            return Next::Record(record);
        }
        let Some(reader) = &mut self.reader else {
            return Next::Broken;
        };
        if *self.signal.borrow_and_update() != super::Signal::Run {
            return Next::Stopping;
        }
        let due = due.unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            biased;
            _ = self.signal.changed() => Next::Stopping,
            record = reader.next() => match record {
                Ok(record) => {
                    self.reading_went_well();
                    Next::Record(record)
                }
                Err(error) => {
                    let error = StepError::from(error);
                    tracing::warn!(%error, source = %self.source, "reading broke off; the position is found again");
                    self.reading_is_broken = true;
                    self.unwell(&error);
                    Next::Broken
                }
            },
            () = tokio::time::sleep_until(due) => {
                self.reading_went_well();
                Next::Due
            }
        }
    }
}
