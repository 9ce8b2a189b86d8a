//! Rows of the ledger, `batches`.

use super::{Field, Table, Time, field};
use crate::source::{OffsetRange, SourcePartition};

/// The table `batches`.
#[derive(Debug)]
pub struct Batches;

/// One batch in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRow {
    /// Partition the batch is of.
    pub source: SourcePartition,
    /// Its offsets.
    pub range: OffsetRange,
    /// Offsets whose record is in `events`.
    pub n_events: u64,
    /// Offsets whose record is in `failed_events`.
    pub n_failed: u64,
    /// Offsets that Kafka had deleted before they were read.
    pub n_lost: u64,
    /// Offsets that hold no record.
    pub n_absent: u64,
    /// Earliest `received_at`, Unix milliseconds; 0 without records.
    pub min_received_at_ms: i64,
    /// Latest `received_at`, Unix milliseconds; 0 without records.
    pub max_received_at_ms: i64,
    /// Version of the processor that decided the verdicts.
    pub processor_version: String,
    /// Hash of the schema set they were decided with.
    pub schema_set: String,
    /// Shard that holds the rows; empty on one node.
    pub shard: String,
}

impl Table for Batches {
    const NAME: &'static str = "batches";
    type Row<'a> = BatchRow;

    fn fields() -> &'static [Field<Self>] {
        const FIELDS: &[Field<Batches>] = &[
            field!("stream", "UInt32", |row| row.source.stream),
            field!("topic", "LowCardinality(String)", |row| *row.source.topic),
            field!("partition", "UInt32", |row| row.source.partition),
            field!("first", "UInt64", |row| row.range.first),
            field!("last", "UInt64", |row| row.range.last),
            field!("n_events", "UInt64", |row| row.n_events),
            field!("n_failed", "UInt64", |row| row.n_failed),
            field!("n_lost", "UInt64", |row| row.n_lost),
            field!("n_absent", "UInt64", |row| row.n_absent),
            field!("min_received_at", "DateTime64(3, 'UTC')", |row| Time(
                row.min_received_at_ms
            )),
            field!("max_received_at", "DateTime64(3, 'UTC')", |row| Time(
                row.max_received_at_ms
            )),
            field!("processor_version", "LowCardinality(String)", |row| row
                .processor_version),
            field!("schema_set", "LowCardinality(String)", |row| row.schema_set),
            field!("shard", "LowCardinality(String)", |row| row.shard),
            field!("token", "String", |row| format!(
                "{}:{}",
                row.source, row.range
            )),
        ];
        FIELDS
    }
}
