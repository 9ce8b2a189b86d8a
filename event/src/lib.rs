//! The pure core: decode, normalise, validate events.
mod decode;
pub mod envelope;
mod evaluate;
mod event;
mod failure;
mod murmur2;
mod normalise;
mod validate;

pub use decode::{Limits, received_at_ms};
pub use envelope::{Body, Envelope, EnvelopeError, KeyClass, RejectCode, Rejected};
pub use evaluate::{Evaluator, EvaluatorError, OVERSIZED_PAYLOAD_KEPT_BYTES, Record, Verdict};
pub use event::{Event, EventType};
pub use failure::{Failure, Reason};
pub use murmur2::{key_hash, murmur2};
pub use normalise::name::snake_case;
pub use normalise::{bot, time, warning};
pub use weir_schemas::FieldError;
