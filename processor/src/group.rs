//! Membership: which partitions are ours, and commits in their name. It reads no records.
//!
//! Assigned partitions stay paused in this client. Its offsets with their metadata are the fence and the intents: a
//! commit that is refused ends the batch in hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use weir_common::kafka::KafkaConfig;
use weir_common::telemetry::Heartbeat;

use crate::exactly_once::Mark;
use crate::reader::blocking;

const TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Who is told of partitions that come and go; called on the group's own thread.
pub(crate) trait Assignments: Send + Sync + 'static {
    /// Partitions are ours from now on.
    fn assigned(&self, partitions: Vec<(Arc<str>, i32)>);
    /// Partitions are to be given up; returns when nothing is done in their name any more. `lost` says that another
    /// member may own them already.
    fn revoked(&self, partitions: Vec<(Arc<str>, i32)>, lost: bool);
}

pub(crate) struct GroupContext {
    assignments: Arc<dyn Assignments>,
}

impl ClientContext for GroupContext {}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            self.assignments
                .revoked(partitions(list), consumer.assignment_lost());
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                if let Err(error) = consumer.pause(list) {
                    tracing::warn!(%error, "cannot pause assigned partitions");
                }
                self.assignments.assigned(partitions(list));
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<(Arc<str>, i32)> {
    list.elements()
        .iter()
        .map(|element| (Arc::from(element.topic()), element.partition()))
        .collect()
}

/// What Kafka has committed for a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    pub(crate) offset: Option<i64>,
    pub(crate) metadata: String,
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// The broker could not be asked, or was not ready.
    #[error(transparent)]
    Passing(KafkaError),
    /// The group does not take this member's commits any more.
    #[error("the group refused the commit: {0}")]
    Refused(KafkaError),
}

/// This process's membership.
#[derive(Clone)]
pub(crate) struct Group {
    consumer: Arc<BaseConsumer<GroupContext>>,
}

impl Group {
    pub(crate) fn new(
        kafka: &KafkaConfig,
        group: &str,
        assignments: Arc<dyn Assignments>,
    ) -> KafkaResult<Self> {
        let mut config = kafka.consumer(group);
        if config.get("group.protocol") == Some("consumer") {
            // The broker decides these in the newer protocol.
            config.remove("session.timeout.ms");
        } else if config.get("partition.assignment.strategy").is_none() {
            config.set("partition.assignment.strategy", "cooperative-sticky");
        }
        // This client reads nothing and commits only what it is told: a missing offset is not an error here, as it is
        // for the reader.
        config.set("auto.offset.reset", "latest");
        let consumer = config.create_with_context(GroupContext { assignments })?;
        Ok(Self {
            consumer: Arc::new(consumer),
        })
    }

    pub(crate) fn subscribe(&self, topics: &[String]) -> KafkaResult<()> {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics)
    }

    /// Serves rebalances until `stop` is set; to be called on a thread of its own.
    ///
    /// # Errors
    /// A fatal error of the client: this member cannot go on.
    pub(crate) fn serve(&self, stop: &AtomicBool, heartbeat: &Heartbeat) -> KafkaResult<()> {
        while !stop.load(Ordering::Relaxed) {
            heartbeat.beat();
            match self.consumer.poll(POLL) {
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                Some(Err(error)) => tracing::warn!(%error, "group client reported an error"),
                Some(Ok(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Commits an offset with its mark.
    pub(crate) async fn commit(
        &self,
        topic: Arc<str>,
        partition: i32,
        (offset, mark): (i64, &Mark),
    ) -> Result<(), CommitError> {
        // Too long a shard name is refused with the settings.
        let metadata = mark.to_metadata().unwrap_or_default();
        let consumer = Arc::clone(&self.consumer);
        let committed = blocking(move || {
            let mut list = TopicPartitionList::new();
            let mut element = list.add_partition(&topic, partition);
            element.set_offset(Offset::Offset(offset))?;
            element.set_metadata(metadata);
            consumer.commit(&list, CommitMode::Sync)
        })
        .await;
        committed.map_err(|error| {
            if is_passing(&error) {
                CommitError::Passing(error)
            } else {
                CommitError::Refused(error)
            }
        })
    }

    /// Returns what is committed for a partition.
    pub(crate) async fn committed(
        &self,
        topic: Arc<str>,
        partition: i32,
    ) -> KafkaResult<CommittedOffset> {
        let consumer = Arc::clone(&self.consumer);
        blocking(move || {
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic, partition);
            let found = consumer.committed_offsets(list, TIMEOUT)?;
            let Some(element) = found.find_partition(&topic, partition) else {
                return Ok(CommittedOffset::default());
            };
            element.error()?;
            Ok(match element.offset() {
                Offset::Offset(offset) => CommittedOffset {
                    offset: Some(offset),
                    metadata: element.metadata().to_owned(),
                },
                _ => CommittedOffset::default(),
            })
        })
        .await
    }
}

fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::TimedOutQueue
                | Code::RequestTimedOut
                | Code::NetworkException
                | Code::WaitingForCoordinator
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::RebalanceInProgress
                | Code::Resolve
        )
    )
}
