//! The pure core: from a Kafka record to its verdict.
//!
//! ```text
//! record ─► decode ─────► normalise ─────► validate ─► Verdict::Accepted(Event)
//!             │               │               │
//!             └───────────────┴───────────────┴──────► Verdict::Failed(Failure)
//! ```
//!
//! - **decode**: the record's value is read as an [`Envelope`], and the client's call in it as JSON, strictly
//!   and within [`Limits`]. What no store can hold (numbers beyond 64 bits, half surrogate pairs, NUL, two
//!   values for one path) ends here, with a JSON pointer into what was sent.
//! - **normalise**: the call becomes the canonical [`Event`]: names, times, ids, page, campaign, agent,
//!   traits. A value of the wrong type, where only one type makes sense, fails the event; a doubtful one
//!   becomes one of the [`warning`]s. Nothing that was sent is dropped without either, but members that only
//!   steered delivery (`writeKey`, `_metadata` and their like), and of a trait sent twice the one in the context.
//! - **validate**: the schemas of `weir-schemas` look at the canonical event. A failure names its place in
//!   the event, and in the call where that differs.
//!
//! [`Evaluator::evaluate`] runs all three. It is a function of the record, the schemas and the data this
//! crate is built with: there is no clock ("now" is when the collector received the event), no I/O, no async,
//! and no state but a cache of parsed user agents that changes no result. It never panics, whatever the
//! record holds.
//!
//! Deliberately absent: repeats and sessions (they need what came before; the processor has it), looking
//! addresses up (needs a database that changes), correcting client clocks (a guess that reorders events; the
//! three times are kept as they are), merging identities, and the mapping of other dialects (done at the
//! edge). Records refused at the edge arrive in the same envelope and leave as failures with the edge's
//! words.

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
