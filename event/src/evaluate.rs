//! From a Kafka record to its verdict.

use crate::event::Event;
use crate::failure::{Failure, Reason};
use std::sync::Arc;
use weir_schemas::{FieldError, Registry};

/// A record as it was read from Kafka.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Topic it was read from.
    pub topic: &'a str,
    /// Partition it was read from.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, Unix milliseconds.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub payload: &'a [u8],
}

/// What becomes of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is an event.
    Accepted(Box<Event>),
    /// It is not, and why.
    Failed(Box<Failure>),
}

impl Verdict {
    /// Returns when the collector received it, Unix milliseconds; for a record that is no envelope, the record's own timestamp.
    pub fn received_at_ms(&self) -> i64 {
        match self {
            Self::Accepted(event) => event.received_at_ms,
            Self::Failed(failure) => failure.received_at_ms,
        }
    }
}

/// The evaluator could not be built from what it was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluatorError {
    /// The user agent rules built into this program do not compile.
    #[error("user agent rules do not compile: {0}")]
    AgentRules(String),
}

/// Decodes, normalises and validates records. Holds the compiled schemas and user agent rules; share it between threads.
#[derive(Debug)]
pub struct Evaluator {
    registry: Arc<Registry>,
}

impl Evaluator {
    /// Returns an evaluator that validates by `registry`.
    ///
    /// # Errors
    /// [`EvaluatorError`] when the data built into this program is broken.
    pub fn new(registry: Arc<Registry>) -> Result<Self, EvaluatorError> {
        Ok(Self { registry })
    }

    /// Returns the schemas in use.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the record's verdict. Never panics, and depends on nothing but the record and what the evaluator was built from.
    pub fn evaluate(&self, record: &Record<'_>) -> Verdict {
        Verdict::Failed(Box::new(Failure {
            reason: Reason::Protocol,
            errors: vec![FieldError::new("", "envelope", "not an envelope")],
            event_id: String::new(),
            source_id: String::new(),
            platform: String::new(),
            r#type: String::new(),
            name: String::new(),
            received_at_ms: record.timestamp_ms,
            payload: record.payload.to_vec(),
        }))
    }
}
