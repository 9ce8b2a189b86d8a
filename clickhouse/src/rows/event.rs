//! Rows of `events`.

use weir_event::Event;

use super::{Coordinates, Field, Object, Table, Time, field};

/// The table `events`.
#[derive(Debug)]
pub struct Events;

/// An event and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct EventRow<'a> {
    /// Where its record is.
    pub at: Coordinates<'a>,
    /// Kafka's murmur2 of the record's key without the sign bit; 0 for a record without a key.
    pub key_hash: u32,
    /// The event.
    pub event: &'a Event,
}

impl Table for Events {
    const NAME: &'static str = "events";
    type Row<'a> = EventRow<'a>;

    fn fields() -> &'static [Field<Self>] {
        FIELDS
    }
}

const FIELDS: &[Field<Events>] = &[
    field!("stream", "UInt32", |row| row.at.stream),
    field!("topic", "LowCardinality(String)", |row| *row.at.topic),
    field!("partition", "UInt32", |row| row.at.partition),
    field!("offset", "UInt64", |row| row.at.offset),
    field!("key_hash", "UInt32", |row| row.key_hash),
    field!("event_id", "UUID", |row| row.event.event_id),
    field!("client_event_id", "String", |row| row.event.client_event_id),
    field!("source_id", "LowCardinality(String)", |row| row
        .event
        .source_id),
    field!("platform", "LowCardinality(String)", |row| row
        .event
        .platform),
    field!("type", "LowCardinality(String)", |row| *row
        .event
        .r#type
        .as_str()),
    field!("name", "LowCardinality(String)", |row| row.event.name),
    field!("name_sent", "LowCardinality(String)", |row| row
        .event
        .name_sent),
    field!("schema_version", "LowCardinality(String)", |row| row
        .event
        .schema_version),
    field!("ts", "DateTime64(3, 'UTC')", |row| Time(row.event.ts_ms)),
    field!("received_at", "DateTime64(3, 'UTC')", |row| Time(
        row.event.received_at_ms
    )),
    field!("client_ts", "DateTime64(3, 'UTC')", |row| Time(
        row.event.client_ts_ms.unwrap_or(0)
    )),
    field!("sent_at", "DateTime64(3, 'UTC')", |row| Time(
        row.event.sent_at_ms.unwrap_or(0)
    )),
    field!("user_id", "String", |row| row.event.user_id),
    field!("anonymous_id", "String", |row| row.event.anonymous_id),
    field!("group_id", "String", |row| row.event.group_id),
    field!("previous_id", "String", |row| row.event.previous_id),
    field!("visitor_id", "UInt64", |row| row.event.visitor_id),
    field!("page_url", "String", |row| row.event.page_url),
    field!("page_host", "LowCardinality(String)", |row| row
        .event
        .page_host),
    field!("page_path", "String", |row| row.event.page_path),
    field!("page_query", "String", |row| row.event.page_query),
    field!("page_title", "String", |row| row.event.page_title),
    field!("referrer", "String", |row| row.event.referrer),
    field!("referrer_host", "String", |row| row.event.referrer_host),
    field!("utm_source", "LowCardinality(String)", |row| row
        .event
        .utm_source),
    field!("utm_medium", "LowCardinality(String)", |row| row
        .event
        .utm_medium),
    field!("utm_campaign", "String", |row| row.event.utm_campaign),
    field!("utm_term", "String", |row| row.event.utm_term),
    field!("utm_content", "String", |row| row.event.utm_content),
    field!("agent", "String", |row| row.event.agent),
    field!("browser", "LowCardinality(String)", |row| row.event.browser),
    field!("browser_version", "LowCardinality(String)", |row| row
        .event
        .browser_version),
    field!("os", "LowCardinality(String)", |row| row.event.os),
    field!("os_version", "LowCardinality(String)", |row| row
        .event
        .os_version),
    field!("device", "LowCardinality(String)", |row| row.event.device),
    field!("is_bot", "Bool", |row| row.event.is_bot),
    field!("bot_reasons", "Array(LowCardinality(String))", |row| row
        .event
        .bot_reasons),
    field!("locale", "LowCardinality(String)", |row| row.event.locale),
    field!("address", "String", |row| row.event.address),
    field!("library", "LowCardinality(String)", |row| row.event.library),
    field!("library_version", "LowCardinality(String)", |row| row
        .event
        .library_version),
    field!("properties", "JSON", |row| Object(&row.event.properties)),
    field!("context", "String", |row| Object(&row.event.context)),
    field!("warnings", "Array(LowCardinality(String))", |row| row
        .event
        .warnings),
];
