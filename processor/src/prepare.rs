//! From the records of a batch to the bytes that leave: verdicts, rows, outputs.
//!
//! Pure: the same records, state and schemas give the same bytes.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use uuid::Uuid;
use weir_clickhouse::rows::{
    Coordinates, Encoder, EventEncoder, EventRow, FailedEncoder, FailedRow,
};
use weir_clickhouse::{Db, SourcePartition};
use weir_event::{Evaluator, Event, Failure, FieldError, Reason, Record, Verdict, key_hash};

use crate::dedup::DedupWindow;
use crate::exactly_once::Judge;

/// A record as it was taken from Kafka.
#[derive(Clone, Debug)]
pub struct RawRecord {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, Unix milliseconds.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Box<[u8]>>,
    /// Its value.
    pub payload: Box<[u8]>,
}

/// An event of the range that is stored already, as far as the state needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredId {
    /// Its source.
    pub source_id: String,
    /// Its id.
    pub event_id: Uuid,
    /// When it was received, Unix milliseconds.
    pub received_at_ms: i64,
}

/// What stays the same for every batch of a partition.
pub struct Codec {
    /// Evaluates records.
    pub evaluator: std::sync::Arc<Evaluator>,
    /// Encodes rows of `events`.
    pub events: EventEncoder,
    /// Encodes rows of `failed_events`.
    pub failed: FailedEncoder,
}

impl Codec {
    /// Reads the tables' columns and makes the encoders for them.
    ///
    /// # Errors
    /// ClickHouse is away, or its tables lack a column: migrations are missing.
    pub async fn load(
        db: &Db,
        evaluator: std::sync::Arc<Evaluator>,
    ) -> Result<Self, weir_clickhouse::Error> {
        Ok(Self {
            evaluator,
            events: Encoder::load(db).await?,
            failed: Encoder::load(db).await?,
        })
    }
}

/// A record for one of the Kafka outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputRecord {
    /// Whether it goes to the topic of events; else to the one of failures.
    pub valid: bool,
    /// The source record's key, so that a visitor's events stay in order.
    pub key: Option<Box<[u8]>>,
    /// JSON.
    pub value: Vec<u8>,
}

/// A judged batch, ready to leave.
#[derive(Debug, Default)]
pub struct Prepared {
    /// RowBinary rows for `events`.
    pub events: Vec<u8>,
    /// RowBinary rows for `failed_events`.
    pub failed: Vec<u8>,
    /// Records for the Kafka outputs.
    pub outputs: Vec<OutputRecord>,
    /// Failures by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// The earliest and latest arrival among the records, Unix milliseconds.
    pub received: Option<(i64, i64)>,
}

/// Coordinates and event as they appear in the output of events.
#[derive(Serialize)]
struct ValidOutput<'a> {
    stream: u32,
    topic: &'a str,
    partition: i32,
    offset: i64,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Serialize)]
struct FailedOutput<'a> {
    stream: u32,
    topic: &'a str,
    partition: i32,
    offset: i64,
    reason: Reason,
    errors: &'a [FieldError],
    event_id: &'a str,
    source_id: &'a str,
    platform: &'a str,
    r#type: &'a str,
    name: &'a str,
    received_at_ms: i64,
    payload: &'a str,
    payload_truncated: bool,
}

/// What of a failed record's payload goes to the output topic; the table keeps the whole.
const OUTPUT_PAYLOAD_BYTES: usize = 64 * 1024;

/// Judges one batch and encodes what comes of it.
pub struct Preparer<'a> {
    codec: &'a Codec,
    source: &'a SourcePartition,
    window: &'a mut DedupWindow,
    /// In order of offsets.
    records: &'a [RawRecord],
    stored: &'a HashMap<i64, StoredId>,
    unreadable: &'a BTreeMap<i64, String>,
    prepared: Prepared,
}

impl<'a> Preparer<'a> {
    /// Returns a preparer of `records`, which are in order of their offsets.
    pub fn new(
        codec: &'a Codec,
        source: &'a SourcePartition,
        window: &'a mut DedupWindow,
        records: &'a [RawRecord],
    ) -> Self {
        static NOTHING: BTreeMap<i64, String> = BTreeMap::new();
        static NONE: std::sync::LazyLock<HashMap<i64, StoredId>> =
            std::sync::LazyLock::new(HashMap::new);
        window.take_back();
        Self {
            codec,
            source,
            window,
            records,
            stored: &NONE,
            unreadable: &NOTHING,
            prepared: Prepared::default(),
        }
    }

    /// Takes in what is settled already: stored events of the range, and offsets whose rows ClickHouse could not read.
    #[must_use]
    pub fn with_decided(
        mut self,
        stored: &'a HashMap<i64, StoredId>,
        unreadable: &'a BTreeMap<i64, String>,
    ) -> Self {
        self.stored = stored;
        self.unreadable = unreadable;
        self
    }

    /// Returns what the batch came to.
    #[must_use]
    pub fn finish(self) -> Prepared {
        self.prepared
    }

    fn record(&self, offset: i64) -> Option<&'a RawRecord> {
        let index = self
            .records
            .binary_search_by_key(&offset, |record| record.offset);
        index.ok().map(|index| &self.records[index])
    }

    fn note_received(&mut self, received_ms: i64) {
        let (earliest, latest) = self.prepared.received.unwrap_or((received_ms, received_ms));
        self.prepared.received = Some((earliest.min(received_ms), latest.max(received_ms)));
    }

    fn at(&self, offset: i64) -> Coordinates<'a> {
        Coordinates {
            stream: self.source.stream,
            topic: &self.source.topic,
            partition: self.source.partition,
            offset,
        }
    }

    /// Returns why an event is not accepted although it is valid.
    fn objection(&self, event: &Event, offset: i64, decided: bool) -> Option<(Reason, FieldError)> {
        let objection = |reason: Reason, path: &str, message: &str| {
            Some((reason, FieldError::new(path, reason.as_str(), message)))
        };
        if self.window.contains(&event.source_id, event.event_id) {
            return objection(
                Reason::Duplicate,
                "/messageId",
                "an event with this id was stored within the deduplication window",
            );
        }
        if let Some(message) = self.unreadable.get(&offset) {
            return objection(Reason::Load, "", message);
        }
        if decided {
            return objection(
                Reason::Superseded,
                "",
                "the batch was stored without this event before a crash; it is valid by today's schemas and can be replayed",
            );
        }
        None
    }

    fn accept(&mut self, record: &RawRecord, event: &Event) {
        self.window
            .note(&event.source_id, event.event_id, event.received_at_ms);
        let row = EventRow {
            at: self.at(record.offset),
            key_hash: record
                .key
                .as_deref()
                .map_or(self.source.partition.cast_unsigned(), key_hash),
            event,
        };
        self.codec.events.encode(&row, &mut self.prepared.events);
        let value = valid_output(self.source, record.offset, event);
        self.prepared.outputs.push(OutputRecord {
            valid: true,
            key: record.key.clone(),
            value,
        });
    }

    fn fail(&mut self, record: &RawRecord, failure: &Failure) {
        let row = FailedRow {
            at: self.at(record.offset),
            failure,
            processor_version: env!("CARGO_PKG_VERSION"),
            schema_set: self.codec.evaluator.registry().digest(),
        };
        self.codec.failed.encode(&row, &mut self.prepared.failed);
        *self
            .prepared
            .reasons
            .entry(failure.reason.as_str())
            .or_default() += 1;
        let value = failed_output(self.source, record.offset, failure);
        self.prepared.outputs.push(OutputRecord {
            valid: false,
            key: record.key.clone(),
            value,
        });
    }
}

/// Returns an event as the output topic holds it.
pub(crate) fn valid_output(source: &SourcePartition, offset: i64, event: &Event) -> Vec<u8> {
    to_json(&ValidOutput {
        stream: source.stream,
        topic: &source.topic,
        partition: source.partition,
        offset,
        event,
    })
}

/// Returns a failure as the output topic holds it.
pub(crate) fn failed_output(source: &SourcePartition, offset: i64, failure: &Failure) -> Vec<u8> {
    let cut = failure.payload.len().min(OUTPUT_PAYLOAD_BYTES);
    to_json(&FailedOutput {
        stream: source.stream,
        topic: &source.topic,
        partition: source.partition,
        offset,
        reason: failure.reason,
        errors: &failure.errors,
        event_id: &failure.event_id,
        source_id: &failure.source_id,
        platform: &failure.platform,
        r#type: &failure.r#type,
        name: &failure.name,
        received_at_ms: failure.received_at_ms,
        payload: &String::from_utf8_lossy(&failure.payload[..cut]),
        payload_truncated: cut < failure.payload.len(),
    })
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    // Maps with text keys and numbers that came out of JSON always have a JSON form.
    serde_json::to_vec(body).unwrap_or_default()
}

impl Judge for Preparer<'_> {
    fn note_stored(&mut self, offset: i64) {
        if let Some(id) = self.stored.get(&offset) {
            self.window
                .note(&id.source_id, id.event_id, id.received_at_ms);
            self.note_received(id.received_at_ms);
        }
    }

    fn judge(&mut self, offset: i64, decided: bool) -> bool {
        let Some(record) = self.record(offset) else {
            return false;
        };
        let verdict = self.codec.evaluator.evaluate(&Record {
            topic: &self.source.topic,
            partition: self.source.partition,
            offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_deref(),
            payload: &record.payload,
        });
        self.note_received(verdict.received_at_ms());
        match verdict {
            Verdict::Failed(failure) => {
                self.fail(record, &failure);
                false
            }
            Verdict::Accepted(event) => match self.objection(&event, offset, decided) {
                None => {
                    self.accept(record, &event);
                    true
                }
                Some((reason, error)) => {
                    let payload = record.payload.to_vec();
                    let failure = Failure::from_event(&event, reason, vec![error], payload);
                    self.fail(record, &failure);
                    false
                }
            },
        }
    }
}
