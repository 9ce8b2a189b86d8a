//! Where records go: Kafka, or memory in tests.

mod kafka;
#[cfg(test)]
pub(crate) mod memory;
mod status;

use std::future::Future;
use std::sync::Arc;

use crate::budget::Reservation;
use crate::stamp::Place;

pub(crate) use kafka::KafkaSink;

/// One record, ready to be produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its topic.
    pub(crate) topic: &'static str,
    /// Its key; equal keys share a partition.
    pub(crate) key: Vec<u8>,
    /// Its value, an envelope.
    pub(crate) value: Vec<u8>,
    /// Where its event stood in the request.
    pub(crate) place: Place,
}

/// Why records were not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SinkError {
    /// As many records as fit are waiting already.
    #[error("the producer's queue is full")]
    Full,
    /// Kafka is away, or did not acknowledge in time; the records may or may not be kept.
    #[error("{0}")]
    Unavailable(String),
}

/// Keeps records.
pub(crate) trait Sink: Send + Sync + 'static {
    /// Says whether records for `topic` have a chance, before any work is spent on them.
    ///
    /// # Errors
    ///
    /// They have none now.
    fn check(&self, topic: &str) -> Result<(), SinkError>;

    /// Keeps the records; `held` is their memory, given back when the last of them is settled, even if the caller
    /// is gone by then. Returns those that are too large to be kept, once all others are.
    ///
    /// # Errors
    ///
    /// At least one record may not be kept.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop what was queued.
    fn send(
        &self,
        records: Vec<Record>,
        held: Arc<Reservation>,
    ) -> impl Future<Output = Result<Vec<Record>, SinkError>> + Send;
}
