//! From a Kafka record to its verdict: decode, normalise, validate.

use crate::decode::{self, Limits, Refusal};
use crate::envelope::{Body, Envelope, RejectCode, Rejected};
use crate::event::{Event, EventType};
use crate::failure::{Failure, Reason};
use crate::normalise::agent::Agents;
use crate::normalise::normalise;
use crate::validate::validate;
use std::sync::Arc;
use weir_schemas::Registry;

/// Most bytes of an oversized record that its failure keeps; within the limit a record is kept whole, so that
/// it can be replayed.
pub const OVERSIZED_PAYLOAD_KEPT_BYTES: usize = 16 * 1024;

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
    /// Returns when the collector received it, Unix milliseconds; for a record that is no envelope, the
    /// record's own timestamp.
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

/// Decodes, normalises and validates records. Holds the compiled schemas and user agent rules; share it
/// between threads.
#[derive(Debug)]
pub struct Evaluator {
    registry: Arc<Registry>,
    agents: Agents,
    limits: Limits,
}

impl Evaluator {
    /// Returns an evaluator that validates by `registry`, with the default [`Limits`]. Compiles the user
    /// agent rules, which takes a while: build one and share it.
    ///
    /// # Errors
    /// [`EvaluatorError`] when the data built into this program is broken.
    pub fn new(registry: Arc<Registry>) -> Result<Self, EvaluatorError> {
        Self::with_limits(registry, Limits::default())
    }

    /// Returns an evaluator with limits of its own.
    ///
    /// # Errors
    /// As [`Evaluator::new`].
    pub fn with_limits(registry: Arc<Registry>, limits: Limits) -> Result<Self, EvaluatorError> {
        let agents = Agents::new().map_err(EvaluatorError::AgentRules)?;
        Ok(Self {
            registry,
            agents,
            limits,
        })
    }

    /// Returns the schemas in use.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns when the record was received, Unix milliseconds: what its verdict will say too, at a fraction
    /// of the cost.
    pub fn received_at_ms(&self, record: &Record<'_>) -> i64 {
        match decode::envelope(record.payload, &self.limits) {
            Ok(envelope) => envelope.received_at_ms,
            Err(_) => record.timestamp_ms.max(0),
        }
    }

    /// Returns the record's verdict. Never panics, and depends on nothing but the record and what the
    /// evaluator was built from.
    pub fn evaluate(&self, record: &Record<'_>) -> Verdict {
        let envelope = match decode::envelope(record.payload, &self.limits) {
            Ok(envelope) => envelope,
            Err(refusal) => {
                return self.failed(record, None, self.rather_oversized(record, refusal));
            }
        };
        match self.judge(record, &envelope) {
            Ok(event) => Verdict::Accepted(Box::new(event)),
            Err(refusal) => self.failed(record, Some(&envelope), refusal),
        }
    }

    fn judge(&self, record: &Record<'_>, envelope: &Envelope<'_>) -> Result<Event, Refusal> {
        let text = match &envelope.body {
            Body::Call(call) => call.get(),
            Body::Rejected(rejected) => return Err(edge_refusal(rejected)),
        };
        if let Some(refusal) = self.oversized(record) {
            return Err(refusal);
        }
        check_header(envelope)?;
        let kind =
            EventType::from_name(&envelope.r#type).ok_or_else(|| unknown_type(&envelope.r#type))?;
        let call = decode::call(text, &self.limits)?;
        let mut event = normalise(envelope, kind, call, &self.agents)?;
        validate(&mut event, &self.registry)?;
        Ok(event)
    }

    fn oversized(&self, record: &Record<'_>) -> Option<Refusal> {
        let bytes = record.payload.len();
        (bytes > self.limits.record_bytes).then(|| {
            let message = format!(
                "the record has {bytes} bytes, {} are allowed",
                self.limits.record_bytes
            );
            Refusal::new(Reason::Size, "", "bytes", message)
        })
    }

    /// Of a record that is unreadable and too large, the size is what helps.
    fn rather_oversized(&self, record: &Record<'_>, refusal: Refusal) -> Refusal {
        self.oversized(record).unwrap_or(refusal)
    }

    fn failed(
        &self,
        record: &Record<'_>,
        envelope: Option<&Envelope<'_>>,
        refusal: Refusal,
    ) -> Verdict {
        let mut failure = Failure {
            reason: refusal.reason,
            errors: refusal.errors,
            event_id: String::new(),
            source_id: String::new(),
            platform: String::new(),
            r#type: String::new(),
            name: refusal.name,
            received_at_ms: decode::arrival_ms(record.timestamp_ms),
            payload: Vec::new(),
        };
        if let Some(envelope) = envelope {
            failure.event_id = envelope.id.to_string();
            failure.source_id = envelope.source.to_string();
            failure.platform = envelope.platform.to_string();
            failure.r#type = envelope.r#type.to_string();
            failure.received_at_ms = envelope.received_at_ms;
        }
        let kept = if self.oversized(record).is_some() {
            OVERSIZED_PAYLOAD_KEPT_BYTES
        } else {
            record.payload.len()
        };
        failure.payload = record.payload[..record.payload.len().min(kept)].to_vec();
        Verdict::Failed(Box::new(failure))
    }
}

/// The collector writes none of this; whatever else writes to its topics might.
fn check_header(envelope: &Envelope<'_>) -> Result<(), Refusal> {
    let refused = |path: &str, what: &str| {
        let message = format!("not an envelope: {what}");
        Err(Refusal::new(Reason::Protocol, path, "envelope", message))
    };
    let needed = [
        ("/id", &envelope.id),
        ("/source", &envelope.source),
        ("/platform", &envelope.platform),
    ];
    if let Some((path, _)) = needed.iter().find(|(_, text)| text.is_empty()) {
        return refused(path, "this field must not be empty");
    }
    let optional = [("/agent", &envelope.agent), ("/address", &envelope.address)];
    match needed
        .iter()
        .chain(&optional)
        .find(|(_, text)| text.contains('\0'))
    {
        Some((path, _)) => refused(path, "this field contains the character NUL"),
        None => Ok(()),
    }
}

fn unknown_type(sent: &str) -> Refusal {
    let known = EventType::ALL.map(EventType::as_str).join(", ");
    let message = format!(
        "{:?} is no call; the calls are {known}",
        decode::excerpt(sent)
    );
    Refusal::new(Reason::Protocol, "/type", "enum", message)
}

/// The edge's refusal in the words of the edge.
fn edge_refusal(rejected: &Rejected<'_>) -> Refusal {
    // A code of a newer collector is a breach of the protocol as far as this program can tell.
    let reason = RejectCode::from_name(&rejected.code).map_or(Reason::Protocol, RejectCode::reason);
    let message = if rejected.message.is_empty() {
        "refused by the collector"
    } else {
        &rejected.message
    };
    Refusal::new(reason, &rejected.path, &rejected.code, message)
}
