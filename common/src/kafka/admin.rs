//! Admin requests: which topics exist and how, creating them, and where partitions and groups stand.
//!
//! It never deletes or alters anything that exists.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaConfig;

/// How long one request may take, connecting included.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Why an admin request failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No broker answered in time: check the address and that Kafka runs.
    #[error("no broker answers at {brokers} ({reason}): check the address and that Kafka runs")]
    Unreachable {
        /// The bootstrap servers that were tried.
        brokers: String,
        /// librdkafka's reason.
        reason: RDKafkaErrorCode,
    },
    /// The client's own settings are wrong.
    #[error("the Kafka client's settings are refused")]
    Settings(#[source] KafkaError),
    /// A broker answered with a refusal.
    #[error("Kafka refused to {operation}: {message}")]
    Refused {
        /// What was asked for.
        operation: String,
        /// The broker's reason.
        message: String,
    },
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication: i32,
    /// Topic settings that differ from the broker's.
    pub config: BTreeMap<String, String>,
}

/// The shape of a topic that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicLayout {
    /// Number of partitions.
    pub partitions: i32,
    /// Copies of its first partition.
    pub replication: i32,
}

/// The offsets a partition holds: `start` up to, and without, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// First offset that is still there.
    pub start: i64,
    /// Offset that the next record will have.
    pub end: i64,
}

/// What a group committed for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read; `None` when the group never committed.
    pub next_offset: Option<i64>,
    /// The text committed with it.
    pub metadata: String,
}

/// A connection for admin requests.
pub struct Admin {
    brokers: String,
    client: AdminClient<DefaultClientContext>,
    // Metadata is asked through a consumer: a producer's request would create missing topics.
    consumer: Arc<BaseConsumer>,
    config: KafkaConfig,
}

impl Admin {
    /// Creates the clients; nothing is sent yet.
    ///
    /// # Errors
    /// Fails with [`AdminError::Settings`] if librdkafka refuses the options.
    pub fn new(config: &KafkaConfig) -> Result<Self, AdminError> {
        Ok(Self {
            brokers: config.brokers.clone(),
            client: config.admin().create().map_err(AdminError::Settings)?,
            consumer: Arc::new(config.admin().create().map_err(AdminError::Settings)?),
            config: config.clone(),
        })
    }

    /// Returns all topics of the cluster.
    ///
    /// # Errors
    /// Fails if no broker answers.
    pub async fn topics(&self) -> Result<BTreeMap<String, TopicLayout>, AdminError> {
        let metadata = self
            .blocking(|consumer| consumer.fetch_metadata(None, TIMEOUT))
            .await
            .map_err(|error| self.explain("list topics", &error))?;
        let layout = |topic: &rdkafka::metadata::MetadataTopic| {
            let partitions = topic.partitions();
            let replication = partitions.first().map_or(0, |first| first.replicas().len());
            TopicLayout {
                partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
                replication: i32::try_from(replication).unwrap_or(i32::MAX),
            }
        };
        let topics = metadata.topics().iter();
        Ok(topics
            .map(|topic| (topic.name().to_owned(), layout(topic)))
            .collect())
    }

    /// Creates a topic and returns whether it is new; `false` if it was there already.
    ///
    /// # Errors
    /// Fails if no broker answers or the broker refuses, as with more replicas than brokers.
    pub async fn create_topic(&self, spec: &TopicSpec) -> Result<bool, AdminError> {
        let mut topic = NewTopic::new(
            &spec.name,
            spec.partitions,
            TopicReplication::Fixed(spec.replication),
        );
        for (key, value) in &spec.config {
            topic = topic.set(key, value);
        }
        let operation = format!("create topic {}", spec.name);
        let options = AdminOptions::new()
            .request_timeout(Some(TIMEOUT))
            .operation_timeout(Some(TIMEOUT));
        let results = self
            .client
            .create_topics([&topic], &options)
            .await
            .map_err(|error| self.explain(&operation, &error))?;
        match results.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(AdminError::Refused {
                operation,
                message: code.to_string(),
            }),
            Some(Ok(_)) | None => Ok(true),
        }
    }

    /// Returns the effective settings of topics that exist, the broker's defaults included.
    ///
    /// # Errors
    /// Fails if no broker answers or a topic is missing.
    pub async fn topic_configs(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, AdminError> {
        let resources: Vec<_> = topics
            .iter()
            .map(|topic| ResourceSpecifier::Topic(topic))
            .collect();
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let results = self
            .client
            .describe_configs(&resources, &options)
            .await
            .map_err(|error| self.explain("describe topics", &error))?;
        let mut configs = BTreeMap::new();
        for (topic, result) in topics.iter().zip(results) {
            let resource = result.map_err(|code| AdminError::Refused {
                operation: format!("describe topic {topic}"),
                message: code.to_string(),
            })?;
            let entries = resource.entries.into_iter();
            let config = entries
                .filter_map(|entry| Some((entry.name, entry.value?)))
                .collect();
            configs.insert((*topic).to_owned(), config);
        }
        Ok(configs)
    }

    /// Returns which offsets a partition holds, asked from its leader.
    ///
    /// # Errors
    /// Fails if no broker answers or the partition is missing.
    pub async fn watermarks(&self, topic: &str, partition: i32) -> Result<Watermarks, AdminError> {
        let name = topic.to_owned();
        let (start, end) = self
            .blocking(move |consumer| consumer.fetch_watermarks(&name, partition, TIMEOUT))
            .await
            .map_err(|error| {
                self.explain(&format!("read offsets of {topic}/{partition}"), &error)
            })?;
        Ok(Watermarks { start, end })
    }

    /// Returns what `group` committed for the partitions of a topic, in their order.
    ///
    /// # Errors
    /// Fails if no broker answers.
    pub async fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: i32,
    ) -> Result<Vec<Committed>, AdminError> {
        let consumer: Arc<BaseConsumer> = Arc::new(
            self.config
                .consumer(group)
                .create()
                .map_err(AdminError::Settings)?,
        );
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, partition);
        }
        let found = run_blocking(consumer, move |consumer| {
            consumer.committed_offsets(list, TIMEOUT)
        })
        .await
        .map_err(|error| self.explain(&format!("read offsets of group {group}"), &error))?;
        let committed = (0..partitions).map(|partition| {
            let element = found.find_partition(topic, partition);
            Committed {
                next_offset: element.as_ref().and_then(|at| match at.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                }),
                metadata: element.map_or_else(String::new, |at| at.metadata().to_owned()),
            }
        });
        Ok(committed.collect())
    }

    async fn blocking<T, F>(&self, ask: F) -> Result<T, KafkaError>
    where
        T: Send + 'static,
        F: FnOnce(&BaseConsumer) -> Result<T, KafkaError> + Send + 'static,
    {
        run_blocking(Arc::clone(&self.consumer), ask).await
    }

    fn explain(&self, operation: &str, error: &KafkaError) -> AdminError {
        match error.rdkafka_error_code() {
            Some(
                reason @ (RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::TimedOutQueue),
            ) => AdminError::Unreachable {
                brokers: self.brokers.clone(),
                reason,
            },
            _ => AdminError::Refused {
                operation: operation.to_owned(),
                message: error.to_string(),
            },
        }
    }
}

async fn run_blocking<T, F>(consumer: Arc<BaseConsumer>, ask: F) -> Result<T, KafkaError>
where
    T: Send + 'static,
    F: FnOnce(&BaseConsumer) -> Result<T, KafkaError> + Send + 'static,
{
    tokio::task::spawn_blocking(move || ask(&consumer))
        .await
        .unwrap_or(Err(KafkaError::Canceled))
}
