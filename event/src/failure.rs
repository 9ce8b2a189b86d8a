//! The verdict on a record that is not stored as an event: why, where, and what was sent.

use crate::event::Event;
use serde::{Deserialize, Serialize};
use std::fmt;
use weir_schemas::FieldError;

/// Why a record did not become an event. The set is closed: every way to fail maps to one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not readable: no UTF-8, no JSON, or JSON that no store can hold (lone surrogates, numbers out of
    /// range, two values for one path).
    Decode,
    /// Readable, but no call of the dialect: no envelope, unknown type, a field of the wrong type, nobody it
    /// belongs to.
    Protocol,
    /// Larger, deeper or with more keys than an event may be.
    Size,
    /// No schema is known for the call.
    SchemaMissing,
    /// A schema of the event does not hold.
    SchemaInvalid,
    /// The same event id was stored before, within the window.
    Duplicate,
    /// The store refused the row.
    Load,
    /// A replay of a batch whose rows were decided before left this record out; today's code would accept it.
    Superseded,
}

impl Reason {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 8] = [
        Self::Decode,
        Self::Protocol,
        Self::Size,
        Self::SchemaMissing,
        Self::SchemaInvalid,
        Self::Duplicate,
        Self::Load,
        Self::Superseded,
    ];

    /// Returns the name used in tables, metrics and topics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Protocol => "protocol",
            Self::Size => "size",
            Self::SchemaMissing => "schema_missing",
            Self::SchemaInvalid => "schema_invalid",
            Self::Duplicate => "duplicate",
            Self::Load => "load",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record that did not become an event. What could not be read of the envelope is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// Everything found wrong, at least one entry.
    pub errors: Vec<FieldError>,
    /// The client's event id as the envelope has it.
    pub event_id: String,
    /// The source's id.
    pub source_id: String,
    /// The source's platform.
    pub platform: String,
    /// The call's type as it was sent.
    pub r#type: String,
    /// The event's name, normalised, when it got that far.
    pub name: String,
    /// Unix time in milliseconds at which the collector received it; of a record that is no envelope, the
    /// record's own timestamp.
    pub received_at_ms: i64,
    /// The record's value as it was read from Kafka.
    pub payload: Vec<u8>,
}

impl Failure {
    /// Returns the failure of an event that was accepted and is then not stored: a duplicate, a load failure,
    /// a superseded one.
    pub fn from_event(
        event: &Event,
        reason: Reason,
        errors: Vec<FieldError>,
        payload: Vec<u8>,
    ) -> Self {
        let event_id = if event.client_event_id.is_empty() {
            event.event_id.to_string()
        } else {
            event.client_event_id.clone()
        };
        Self {
            reason,
            errors,
            event_id,
            source_id: event.source_id.clone(),
            platform: event.platform.clone(),
            r#type: event.r#type.as_str().to_owned(),
            name: event.name.clone(),
            received_at_ms: event.received_at_ms,
            payload,
        }
    }
}
