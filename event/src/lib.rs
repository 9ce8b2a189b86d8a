//! The pure core: decode, normalise, validate events.

pub mod envelope;
mod evaluate;
mod event;
mod failure;
mod murmur2;

pub use envelope::{Body, Envelope, EnvelopeError, KeyClass, RejectCode, Rejected};
pub use evaluate::{Evaluator, EvaluatorError, Record, Verdict};
pub use event::{Event, EventType};
pub use failure::{Failure, Reason};
pub use murmur2::{key_hash, murmur2};
pub use weir_schemas::FieldError;
