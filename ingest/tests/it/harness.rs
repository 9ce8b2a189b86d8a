//! A collector in this process, its client, and a look into Kafka's partitions.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_common::kafka::{Admin, KafkaConfig, TopicSpec};
use weir_ingest::{Error, IngestConfig, Listeners};
use weir_stack::kafka::{Kafka, StartOptions};

/// The broker of the tests that leave it running; it ends with this process.
static SHARED: LazyLock<Kafka> = LazyLock::new(broker);

pub(crate) fn broker() -> Kafka {
    Kafka::start(StartOptions::default()).unwrap()
}

pub(crate) async fn shared_broker() -> KafkaConfig {
    let bootstrap = tokio::task::spawn_blocking(|| SHARED.bootstrap().to_owned()).await;
    KafkaConfig::new(bootstrap.unwrap())
}

pub(crate) async fn create_topic(
    kafka: &KafkaConfig,
    name: &str,
    partitions: i32,
    config: &[(&str, &str)],
) {
    let spec = TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: 1,
        config: config
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    };
    Admin::new(kafka)
        .unwrap()
        .create_topic(&spec)
        .await
        .unwrap();
}

/// One running collector with one source.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
    _directory: TempDir,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: String,
    pub(crate) body: String,
}

impl Collector {
    /// Starts a collector with one source, which has the id, the platform and the key `platform`.
    pub(crate) async fn start(
        kafka: &KafkaConfig,
        platform: &str,
        change: impl FnOnce(&mut IngestConfig),
    ) -> Collector {
        let directory = tempfile::tempdir().unwrap();
        let sources = directory.path().join("sources.toml");
        let class = if platform == "server" {
            "server"
        } else {
            "browser"
        };
        let text = format!(
            "[[source]]\nid = \"{platform}\"\nplatform = \"{platform}\"\n[[source.key]]\nkey = \"{platform}\"\nclass = \"{class}\"\n"
        );
        std::fs::write(&sources, text).unwrap();
        let mut config = IngestConfig {
            listen: "127.0.0.1:0".to_owned(),
            metrics_listen: "127.0.0.1:0".to_owned(),
            sources,
            data_dir: directory.path().join("data"),
            ..IngestConfig::default()
        };
        change(&mut config);
        let listeners = Listeners::bind(&config).await.unwrap();
        let (address, metrics) = listeners.addresses().unwrap();
        let shutdown = CancellationToken::new();
        let run = weir_ingest::run(config, kafka.clone(), listeners, shutdown.clone());
        Collector {
            address,
            metrics,
            shutdown,
            task: tokio::spawn(run),
            _directory: directory,
        }
    }

    /// Waits until readiness has this status, and returns what it says.
    pub(crate) async fn readiness(&self, status: StatusCode) -> String {
        let client = Http::new();
        let url = format!("http://{}/health/ready", self.metrics);
        wait("readiness", async || match client.get(&url).await {
            Some(answer) if answer.status == status => Ok(answer.body),
            answer => Err(format!("{answer:?}")),
        })
        .await
    }

    pub(crate) async fn metric(&self, line: &str) -> bool {
        let answer = Http::new()
            .get(&format!("http://{}/metrics", self.metrics))
            .await
            .unwrap();
        answer.body.lines().any(|found| found == line)
    }

    /// Stops the collector and waits for its end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }

    pub(crate) fn stop_soon(&self) {
        self.shutdown.cancel();
    }
}

/// Looks until there is something, for at most 60 s; what is seen instead explains a failure.
pub(crate) async fn wait<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => {
                assert!(
                    Instant::now() < deadline,
                    "waited 60 s for {what}; last seen: {seen}"
                );
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A client that keeps its connections.
#[derive(Clone)]
pub(crate) struct Http(Client<HttpConnector, Full<bytes::Bytes>>);

impl Http {
    pub(crate) fn new() -> Http {
        Http(Client::builder(TokioExecutor::new()).build_http())
    }

    pub(crate) async fn get(&self, url: &str) -> Option<Answer> {
        self.send(Request::get(url).body(Full::default()).unwrap())
            .await
    }

    /// Posts events; `None` if there was no answer.
    pub(crate) async fn post(
        &self,
        collector: SocketAddr,
        path: &str,
        key: &str,
        body: impl Into<bytes::Bytes>,
    ) -> Option<Answer> {
        let request = Request::post(format!("http://{collector}{path}")).header("x-write-key", key);
        self.send(request.body(Full::new(body.into())).unwrap())
            .await
    }

    async fn send(&self, request: Request<Full<bytes::Bytes>>) -> Option<Answer> {
        let response = self.0.request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Answer {
            status: head.status,
            retry_after: head
                .headers
                .get("retry-after")
                .map_or("", |value| value.to_str().unwrap())
                .to_owned(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        })
    }
}

/// A record as it lies in Kafka.
pub(crate) struct Kept {
    pub(crate) partition: i32,
    pub(crate) key: Vec<u8>,
    pub(crate) envelope: Value,
}

/// Returns everything a topic holds, by partition and offset.
pub(crate) async fn kept(kafka: &KafkaConfig, topic: &'static str) -> Vec<Kept> {
    let config = kafka.consumer("weir-ingest-tests");
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().unwrap();
        let timeout = Duration::from_secs(30);
        let metadata = consumer.fetch_metadata(Some(topic), timeout).unwrap();
        let mut kept = Vec::new();
        for partition in metadata.topics()[0].partitions() {
            let (_, end) = consumer
                .fetch_watermarks(topic, partition.id(), timeout)
                .unwrap();
            let mut assignment = TopicPartitionList::new();
            assignment
                .add_partition_offset(topic, partition.id(), Offset::Beginning)
                .unwrap();
            consumer.assign(&assignment).unwrap();
            let mut next = 0;
            while next < end {
                let record = consumer
                    .poll(timeout)
                    .expect("a record below the end")
                    .unwrap();
                next = record.offset() + 1;
                kept.push(Kept {
                    partition: record.partition(),
                    key: record.key().unwrap().to_vec(),
                    envelope: serde_json::from_slice(record.payload().unwrap()).unwrap(),
                });
            }
        }
        kept
    })
    .await
    .unwrap()
}

/// Returns the ids a topic holds, with repeats, in no particular order.
pub(crate) async fn kept_ids(kafka: &KafkaConfig, topic: &'static str) -> Vec<String> {
    let kept = kept(kafka, topic).await;
    kept.iter()
        .map(|record| record.envelope["id"].as_str().unwrap().to_owned())
        .collect()
}
