//! Keeps records in Kafka: an idempotent producer, and one wake-up per request once its last record is settled.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use weir_common::kafka::KafkaConfig;
use weir_common::telemetry::Health;

use super::status::Status;
use super::{Record, Sink, SinkError};
use crate::budget::Reservation;
use crate::metrics::IngestMetrics;
use crate::stamp::Place;

#[cfg(test)]
mod tests;

/// The component of the health report.
const COMPONENT: &str = "kafka";

/// How long Kafka may take to describe a topic before it counts as away.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often Kafka is asked while all is well.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// How often Kafka is asked while it is away.
const PROBE_INTERVAL_AWAY: Duration = Duration::from_millis(500);

type KafkaProducer = ThreadedProducer<Context>;

/// Produces to Kafka.
#[derive(Debug)]
pub(crate) struct KafkaSink {
    config: ClientConfig,
    /// Replaced when the producer met an error that librdkafka cannot mend.
    producer: RwLock<Arc<Handle>>,
    shared: Arc<Shared>,
    topics: Vec<&'static str>,
}

/// A producer; `Debug` for the structs around it.
struct Handle(KafkaProducer);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KafkaProducer")
    }
}

/// What the producer's threads and the requests both know.
#[derive(Debug)]
struct Shared {
    status: RwLock<Status>,
    /// Asks for a look at Kafka's state now rather than at the next interval.
    suspicion: Notify,
    metrics: IngestMetrics,
}

impl Shared {
    fn set_status(&self, status: Status, health: &Health) {
        match status.any_obstacle() {
            None => health.ready(COMPONENT),
            Some(reason) => health.not_ready(COMPONENT, reason),
        }
        let mut current = self.status.write().unwrap_or_else(PoisonError::into_inner);
        if *current != status {
            match status.any_obstacle() {
                None => tracing::info!("kafka is ready"),
                Some(reason) => tracing::warn!(reason, "events are refused with 503"),
            }
            *current = status;
        }
    }

    fn obstacle(&self, topic: &str) -> Option<String> {
        self.status
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .obstacle(topic)
    }
}

/// The records of one request that are not settled yet.
#[derive(Debug)]
struct Pending {
    /// Records without a delivery report, and one more while records are being queued.
    open: AtomicUsize,
    failures: Mutex<Failures>,
    settled: Notify,
    /// Held for its drop only.
    _held: Arc<Reservation>,
}

#[derive(Debug, Default)]
struct Failures {
    too_large: Vec<Record>,
    error: Option<SinkError>,
}

impl Pending {
    fn settle(&self, records: usize) {
        if self.open.fetch_sub(records, Ordering::AcqRel) == records {
            self.settled.notify_one();
        }
    }

    fn fail(&self, record: impl FnOnce() -> Record, error: &KafkaError, shared: &Shared) {
        let code = error.rdkafka_error_code();
        shared.metrics.producer_error(reason(code));
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match code {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => failures.too_large.push(record()),
            Some(RDKafkaErrorCode::QueueFull) => failures.error = Some(SinkError::Full),
            _ => {
                let text = code.map_or_else(|| error.to_string(), |code| code.to_string());
                failures.error = Some(SinkError::Unavailable(text));
                shared.suspicion.notify_one();
            }
        }
    }

    fn result(&self) -> Result<Vec<Record>, SinkError> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match failures.error.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut failures.too_large)),
        }
    }
}

/// Returns the label of an error.
fn reason(code: Option<RDKafkaErrorCode>) -> &'static str {
    match code {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => "too_large",
        Some(RDKafkaErrorCode::QueueFull) => "queue_full",
        Some(RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::RequestTimedOut) => "timeout",
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicOrPartition,
        ) => "unknown_topic",
        Some(RDKafkaErrorCode::Fatal) => "fatal",
        Some(_) | None => "other",
    }
}

/// What a record carries through librdkafka and back.
struct Ticket {
    pending: Arc<Pending>,
    topic: &'static str,
    place: Place,
}

struct Context(Arc<Shared>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        // Troubles that matter come back as delivery reports; these lines explain them.
        if matches!(level, RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info) {
            tracing::trace!(fac, "{message}");
        } else {
            tracing::debug!(fac, "{message}");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        self.0.suspicion.notify_one();
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        self.0.metrics.producer_queue_messages.dec();
        if let Err((error, message)) = result {
            let record = || Record {
                topic: ticket.topic,
                key: message.key().unwrap_or_default().to_vec(),
                value: message.payload().unwrap_or_default().to_vec(),
                place: ticket.place,
            };
            ticket.pending.fail(record, error, &self.0);
        }
        ticket.pending.settle(1);
    }
}

impl KafkaSink {
    /// Creates a sink for `topics`; it has not reached Kafka yet.
    ///
    /// # Errors
    ///
    /// librdkafka refuses an option; the operator changes it.
    pub(crate) fn new(
        kafka: &KafkaConfig,
        ack_timeout: Duration,
        topics: Vec<&'static str>,
        metrics: IngestMetrics,
    ) -> KafkaResult<KafkaSink> {
        let mut config = kafka.producer();
        config
            .set("message.timeout.ms", ack_timeout.as_millis().to_string())
            // A topic made by chance would have the wrong settings.
            .set("allow.auto.create.topics", "false");
        let shared = Arc::new(Shared {
            status: RwLock::new(Status::Away("not tried yet".to_owned())),
            suspicion: Notify::new(),
            metrics,
        });
        let producer = RwLock::new(Arc::new(create(&config, &shared)?));
        Ok(KafkaSink {
            config,
            producer,
            shared,
            topics,
        })
    }

    /// Watches Kafka until `shutdown`: keeps `health` true, and replaces a producer that cannot go on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the last known state in place.
    pub(crate) async fn watch(self: Arc<Self>, health: Health, shutdown: CancellationToken) {
        let heartbeat = health.heartbeat("kafka_watch", Duration::from_secs(60));
        loop {
            heartbeat.beat();
            let sink = Arc::clone(&self);
            let status = tokio::task::spawn_blocking(move || sink.probe()).await;
            let status = status.unwrap_or_else(|error| Status::Away(error.to_string()));
            let pause = match status {
                Status::Up { .. } => PROBE_INTERVAL,
                Status::Away(_) => PROBE_INTERVAL_AWAY,
            };
            self.shared.set_status(status, &health);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // Errors come in bursts; one look answers them all.
                () = self.shared.suspicion.notified() => tokio::time::sleep(PROBE_INTERVAL_AWAY).await,
            }
        }
    }

    /// Waits for every queued record's report.
    pub(crate) async fn flush(self: Arc<Self>, timeout: Duration) {
        let flushed = tokio::task::spawn_blocking(move || self.producer().0.flush(timeout)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!(
                "records were still unacknowledged at the end; their requests were not answered 200"
            );
        }
    }

    fn producer(&self) -> Arc<Handle> {
        Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks Kafka for the topics. Blocks.
    fn probe(&self) -> Status {
        let producer = self.producer();
        if let Some((code, reason)) = producer.0.client().fatal_error() {
            tracing::error!(%code, reason, "the producer cannot go on and is replaced");
            match create(&self.config, &self.shared) {
                Ok(fresh) => {
                    *self
                        .producer
                        .write()
                        .unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                }
                Err(error) => return Status::Away(error.to_string()),
            }
            return Status::Away("the producer was replaced".to_owned());
        }
        let mut missing = Vec::new();
        for topic in &self.topics {
            match producer
                .0
                .client()
                .fetch_metadata(Some(topic), PROBE_TIMEOUT)
            {
                Ok(metadata) => {
                    let known = metadata.topics().iter().any(|found| {
                        found.name() == *topic
                            && found.error().is_none()
                            && !found.partitions().is_empty()
                    });
                    if !known {
                        missing.push(*topic);
                    }
                }
                Err(error) => {
                    let code = error.rdkafka_error_code();
                    return Status::Away(
                        code.map_or_else(|| error.to_string(), |code| code.to_string()),
                    );
                }
            }
        }
        Status::Up { missing }
    }
}

fn create(config: &ClientConfig, shared: &Arc<Shared>) -> KafkaResult<Handle> {
    config
        .create_with_context(Context(Arc::clone(shared)))
        .map(Handle)
}

impl Sink for KafkaSink {
    fn check(&self, topic: &str) -> Result<(), SinkError> {
        match self.shared.obstacle(topic) {
            None => Ok(()),
            Some(reason) => Err(SinkError::Unavailable(reason)),
        }
    }

    async fn send(
        &self,
        records: Vec<Record>,
        held: Arc<Reservation>,
    ) -> Result<Vec<Record>, SinkError> {
        let started = std::time::Instant::now();
        let pending = Arc::new(Pending {
            open: AtomicUsize::new(records.len() + 1),
            failures: Mutex::default(),
            settled: Notify::new(),
            _held: held,
        });
        self.queue(records, &pending);
        pending.settled.notified().await;
        self.shared
            .metrics
            .produce_duration_seconds
            .observe(started.elapsed().as_secs_f64());
        pending.result()
    }
}

impl KafkaSink {
    /// Queues the records up to the first that cannot be; every other way than queueing settles them here.
    fn queue(&self, records: Vec<Record>, pending: &Arc<Pending>) {
        let producer = self.producer();
        let mut records = records.into_iter();
        // One for the queueing itself.
        let mut settled_here = 1;
        while let Some(record) = records.next() {
            let ticket = Box::new(Ticket {
                pending: Arc::clone(pending),
                topic: record.topic,
                place: record.place,
            });
            let message = BaseRecord::with_opaque_to(record.topic, ticket)
                .key(&record.key)
                .payload(&record.value);
            self.shared.metrics.producer_queue_messages.inc();
            let Err((error, _)) = producer.0.send(message) else {
                continue;
            };
            self.shared.metrics.producer_queue_messages.dec();
            settled_here += 1;
            let too_large =
                error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge);
            pending.fail(|| record, &error, &self.shared);
            if !too_large {
                settled_here += records.len();
                break;
            }
        }
        pending.settle(settled_here);
    }
}
