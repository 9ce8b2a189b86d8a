//! Rows of `failed_events`.

use weir_event::{Failure, FieldError};

use super::{Coordinates, Field, Table, Time, Value, field};
use crate::rowbinary;

/// The table `failed_events`.
#[derive(Debug)]
pub struct FailedEvents;

/// A record that did not become an event, where it came from and who decided so.
#[derive(Clone, Copy, Debug)]
pub struct FailedRow<'a> {
    /// Where the record is.
    pub at: Coordinates<'a>,
    /// Why it failed.
    pub failure: &'a Failure,
    /// Version of the processor.
    pub processor_version: &'a str,
    /// Hash of its schema set.
    pub schema_set: &'a str,
}

impl Value for Vec<FieldError> {
    fn write(&self, out: &mut Vec<u8>) {
        rowbinary::varint(out, self.len() as u64);
        for error in self {
            rowbinary::string(out, &error.path);
            rowbinary::string(out, &error.keyword);
            rowbinary::string(out, &error.message);
        }
    }
}

impl Table for FailedEvents {
    const NAME: &'static str = "failed_events";
    type Row<'a> = FailedRow<'a>;

    fn fields() -> &'static [Field<Self>] {
        const FIELDS: &[Field<FailedEvents>] = &[
            field!("stream", "UInt32", |row| row.at.stream),
            field!("topic", "LowCardinality(String)", |row| *row.at.topic),
            field!("partition", "UInt32", |row| row.at.partition),
            field!("offset", "UInt64", |row| row.at.offset),
            field!("received_at", "DateTime64(3, 'UTC')", |row| Time(
                row.failure.received_at_ms
            )),
            field!("source_id", "LowCardinality(String)", |row| row
                .failure
                .source_id),
            field!("platform", "LowCardinality(String)", |row| row
                .failure
                .platform),
            field!("type", "LowCardinality(String)", |row| row.failure.r#type),
            field!("name", "String", |row| row.failure.name),
            field!("event_id", "String", |row| row.failure.event_id),
            field!("reason", "LowCardinality(String)", |row| *row
                .failure
                .reason
                .as_str()),
            field!(
                "errors",
                "Array(Tuple(path String, keyword String, message String))",
                |row| row.failure.errors
            ),
            field!("payload", "String", |row| row.failure.payload),
            field!("processor_version", "LowCardinality(String)", |row| *row
                .processor_version),
            field!("schema_set", "LowCardinality(String)", |row| *row
                .schema_set),
        ];
        FIELDS
    }
}
