//! Reading records: one client that belongs to no group, told exactly where each partition starts.
//!
//! Whether a partition is ours is the group's matter (`group`); what is read, and from where, is decided here by the
//! ledger. Every partition has a bounded queue of its own: one that is not read stops being fetched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;
use weir_clickhouse::OffsetRange;
use weir_common::kafka::KafkaConfig;

use crate::prepare::RawRecord;

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long an exact read may take before it is begun again.
const EXACT_TIMEOUT: Duration = Duration::from_secs(120);
/// What one partition's queue holds at most, in KiB, besides one fetch under way.
const QUEUE_KIB: &str = "8192";

/// The fetching client.
#[derive(Clone)]
pub(crate) struct Reader {
    consumer: Arc<StreamConsumer>,
    config: ClientConfig,
}

/// What an exact read found.
#[derive(Debug)]
pub(crate) struct ExactRead {
    /// The records that Kafka delivers of the range, in order.
    pub(crate) records: Vec<RawRecord>,
    /// The first offset that Kafka still has.
    pub(crate) log_start: i64,
}

impl Reader {
    pub(crate) fn new(kafka: &KafkaConfig, group: &str) -> KafkaResult<Self> {
        // A group name is required even where no group is joined.
        let mut config = kafka.consumer(&format!("{group}-reader"));
        config
            .set("queued.max.messages.kbytes", QUEUE_KIB)
            .set("queued.min.messages", "20000")
            .set("fetch.queue.backoff.ms", "20")
            .remove("session.timeout.ms");
        Ok(Self {
            consumer: Arc::new(config.create()?),
            config,
        })
    }

    /// Serves the client's own events until shutdown. Records come through the partitions' queues, never through here.
    pub(crate) async fn serve(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                event = self.consumer.recv() => if let Err(error) = event {
                    tracing::warn!(%error, "kafka client reported an error");
                },
            }
        }
    }

    /// Begins to read a partition at an offset.
    pub(crate) async fn open(
        &self,
        topic: Arc<str>,
        partition: i32,
        offset: i64,
    ) -> KafkaResult<PartitionReader> {
        let consumer = Arc::clone(&self.consumer);
        blocking(move || {
            let queue = consumer
                .split_partition_queue(&topic, partition)
                .ok_or(KafkaError::Subscription(topic.to_string()))?;
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
            consumer.incremental_assign(&list)?;
            Ok(PartitionReader {
                queue,
                consumer,
                topic,
                partition,
                next_offset: offset,
            })
        })
        .await
    }

    /// Returns the first offset Kafka has of a partition, and the one it will give out next.
    pub(crate) async fn bounds(&self, topic: Arc<str>, partition: i32) -> KafkaResult<(i64, i64)> {
        let consumer = Arc::clone(&self.consumer);
        blocking(move || consumer.fetch_watermarks(&topic, partition, TIMEOUT)).await
    }

    /// Returns the number of partitions of a topic.
    pub(crate) async fn partitions(&self, topic: Arc<str>) -> KafkaResult<u32> {
        let consumer = Arc::clone(&self.consumer);
        blocking(move || {
            let metadata = consumer.fetch_metadata(Some(&topic), TIMEOUT)?;
            let found = metadata.topics().iter().find(|t| t.name() == &*topic);
            let count = found.map_or(0, |topic| topic.partitions().len());
            u32::try_from(count)
                .ok()
                .filter(|count| *count > 0)
                .ok_or(KafkaError::Subscription(topic.to_string()))
        })
        .await
    }

    /// Reads exactly the records of a range, by a client of its own that sees the partition's end: an offset that is
    /// not among them, and not below the log's start, holds no record.
    pub(crate) async fn exact(
        &self,
        topic: Arc<str>,
        partition: i32,
        range: OffsetRange,
    ) -> KafkaResult<ExactRead> {
        let mut config = self.config.clone();
        config.set("enable.partition.eof", "true");
        blocking(move || read_exact(&config, &topic, partition, range)).await
    }
}

fn read_exact(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    range: OffsetRange,
) -> KafkaResult<ExactRead> {
    let consumer: BaseConsumer = config.create()?;
    let (log_start, _) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
    let mut records = Vec::new();
    if log_start > range.last {
        return Ok(ExactRead { records, log_start });
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(range.first.max(log_start)))?;
    consumer.assign(&list)?;
    let begun = Instant::now();
    while begun.elapsed() < EXACT_TIMEOUT {
        match consumer.poll(Duration::from_millis(500)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(ExactRead { records, log_start }),
            Some(Err(error)) if is_passing(&error) => {
                tracing::warn!(%error, topic, partition, "reading a range again meets an error");
            }
            Some(Err(error)) => return Err(error),
            Some(Ok(message)) => {
                if message.offset() > range.last {
                    return Ok(ExactRead { records, log_start });
                }
                let last = message.offset() == range.last;
                records.push(raw(&message));
                if last {
                    return Ok(ExactRead { records, log_start });
                }
            }
        }
    }
    Err(KafkaError::MessageConsumption(
        rdkafka::error::RDKafkaErrorCode::OperationTimedOut,
    ))
}

/// One partition's records from an offset on.
pub(crate) struct PartitionReader {
    queue: StreamPartitionQueue<DefaultConsumerContext>,
    consumer: Arc<StreamConsumer>,
    topic: Arc<str>,
    partition: i32,
    next_offset: i64,
}

impl PartitionReader {
    /// Returns the offset that follows the last record given out.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Waits for the next record.
    ///
    /// # Errors
    /// Those that end the reading: the partition has to be opened again.
    ///
    /// # Cancel safety
    /// No record is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> KafkaResult<RawRecord> {
        loop {
            match self.queue.recv().await {
                Ok(message) if message.offset() < self.next_offset => {}
                Ok(message) => {
                    self.next_offset = message.offset() + 1;
                    return Ok(raw(&message));
                }
                Err(error) if is_passing(&error) => {
                    tracing::warn!(%error, topic = &*self.topic, partition = self.partition, "reading meets an error");
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for PartitionReader {
    fn drop(&mut self) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, self.partition);
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::debug!(%error, topic = &*self.topic, partition = self.partition, "cannot stop fetching");
        }
    }
}

/// Whether librdkafka mends it by itself.
fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::KafkaStorageError
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::RequestTimedOut
                | Code::NetworkException
        )
    )
}

fn raw(message: &BorrowedMessage<'_>) -> RawRecord {
    RawRecord {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().map(Into::into),
        payload: message.payload().unwrap_or_default().into(),
    }
}

/// Runs a blocking call of librdkafka where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> KafkaResult<T> + Send + 'static,
) -> KafkaResult<T> {
    tokio::task::spawn_blocking(call)
        .await
        .unwrap_or(Err(KafkaError::Canceled))
}
