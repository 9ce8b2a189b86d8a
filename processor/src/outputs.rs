//! The Kafka outputs: accepted events to one topic, failures to the other, at least once.
//!
//! After a crash a batch is produced again, perhaps by other code: a record is identified by its source coordinates,
//! and for readers the first one wins.

use std::time::Duration;

use futures_util::future::try_join_all;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use weir_common::kafka::KafkaConfig;

use crate::prepare::OutputRecord;

/// Topic of accepted events.
pub const VALID_TOPIC: &str = "events.valid";
/// Topic of failures.
pub const FAILED_TOPIC: &str = "events.failed";

/// A canonical event can be longer than what the client sent.
const MAX_MESSAGE_BYTES: &str = "8388608";

#[derive(Clone)]
pub(crate) struct Outputs {
    producer: FutureProducer,
}

impl Outputs {
    pub(crate) fn new(kafka: &KafkaConfig) -> KafkaResult<Self> {
        let mut config = kafka.producer();
        config.set("message.max.bytes", MAX_MESSAGE_BYTES);
        Ok(Self {
            producer: config.create()?,
        })
    }

    /// Produces the records and waits until every one is acknowledged. After an error some may be, and some not.
    pub(crate) async fn publish(&self, records: &[OutputRecord]) -> Result<(), KafkaError> {
        // The queue is bounded: a large batch goes in pieces that surely fit.
        for chunk in records.chunks(2_000) {
            let mut pending = Vec::with_capacity(chunk.len());
            for record in chunk {
                let topic = if record.valid {
                    VALID_TOPIC
                } else {
                    FAILED_TOPIC
                };
                let mut out = FutureRecord::<[u8], [u8]>::to(topic).payload(&record.value);
                if let Some(key) = &record.key {
                    out = out.key(key);
                }
                pending.push(self.producer.send(out, Duration::from_secs(10)));
            }
            try_join_all(pending).await.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    /// Waits until nothing is under way any more.
    pub(crate) fn flush(&self, timeout: Duration) -> KafkaResult<()> {
        self.producer.flush(timeout)
    }
}
