//! The producer against librdkafka's own mock of a cluster, which can fail in ways that a broker seldom does.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use weir_common::telemetry::Metrics;

use super::*;
use crate::budget::Budget;

const WITHIN: Duration = Duration::from_secs(30);

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("events.web", 2, 1).unwrap();
    cluster
}

fn sink(cluster: &Cluster, ack_timeout: Duration, client: &[(&str, &str)]) -> Arc<KafkaSink> {
    let mut kafka = KafkaConfig::new(cluster.bootstrap_servers());
    let client = client
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    kafka.client.extend(client);
    let metrics = IngestMetrics::new(&Metrics::new("ingest", "test").unwrap()).unwrap();
    let topics = vec!["events.web"];
    Arc::new(KafkaSink::new(&kafka, ack_timeout, topics, metrics).unwrap())
}

fn records(sizes: &[usize]) -> Vec<Record> {
    let record = |bytes: &usize| Record {
        topic: "events.web",
        key: b"key".to_vec(),
        value: vec![b'x'; *bytes],
        place: Place::Body,
    };
    sizes.iter().map(record).collect()
}

async fn send(sink: &KafkaSink, sizes: &[usize]) -> Result<Vec<Record>, SinkError> {
    let budget = Budget::new(100);
    let mut held = budget.reservation();
    held.grow(50).unwrap();
    let sent = tokio::time::timeout(WITHIN, sink.send(records(sizes), Arc::new(held))).await;
    let sent = sent.expect("an answer");
    assert_eq!(sink.shared.metrics.producer_queue_messages.get(), 0);
    // The last delivery report gives the memory back a moment after it wakes the request.
    let given_back = async {
        while budget.used() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WITHIN, given_back)
        .await
        .expect("the memory back");
    sent
}

#[tokio::test]
async fn acknowledged_records_are_kept() {
    let cluster = cluster();
    let sink = sink(&cluster, Duration::from_secs(20), &[]);
    assert_eq!(send(&sink, &[10, 20, 30]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn records_without_an_acknowledgement_in_time_are_not_kept() {
    let cluster = cluster();
    let sink = sink(&cluster, Duration::from_millis(300), &[]);
    cluster
        .broker_round_trip_time(1, Duration::from_secs(20))
        .unwrap();
    let sent = send(&sink, &[10, 20]).await;
    assert!(matches!(sent, Err(SinkError::Unavailable(_))), "{sent:?}");
    assert_eq!(sink.shared.metrics.producer_errors("timeout"), 2);
}

#[tokio::test]
async fn a_full_queue_is_told_and_settles_what_was_queued() {
    let cluster = cluster();
    let options = [("queue.buffering.max.messages", "2"), ("linger.ms", "100")];
    let sink = sink(&cluster, Duration::from_secs(20), &options);
    assert_eq!(send(&sink, &[10; 5]).await, Err(SinkError::Full));
    assert_eq!(sink.shared.metrics.producer_errors("queue_full"), 1);
    assert_eq!(send(&sink, &[10; 2]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn records_too_large_for_the_producer_come_back() {
    let cluster = cluster();
    let sink = sink(
        &cluster,
        Duration::from_secs(20),
        &[("message.max.bytes", "2000")],
    );
    assert_eq!(send(&sink, &[10, 5000, 20]).await, Ok(records(&[5000])));
}

#[tokio::test]
async fn a_producer_that_cannot_go_on_is_replaced() {
    let cluster = cluster();
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED];
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &refused);
    let sink = sink(&cluster, Duration::from_secs(20), &[]);
    let first = Arc::downgrade(&sink.producer());
    let sent = send(&sink, &[10]).await;
    assert!(matches!(sent, Err(SinkError::Unavailable(_))), "{sent:?}");

    let health = Health::new(&[COMPONENT]);
    let shutdown = CancellationToken::new();
    let watch = tokio::spawn(Arc::clone(&sink).watch(health.clone(), shutdown.clone()));
    let mended = async {
        while first.upgrade().is_some() || !health.is_ready() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(WITHIN, mended)
        .await
        .expect("another producer");
    assert_eq!(send(&sink, &[10]).await, Ok(Vec::new()));
    assert_eq!(sink.check("events.web"), Ok(()));
    shutdown.cancel();
    watch.await.unwrap();
}

#[tokio::test]
async fn records_have_no_chance_before_kafka_was_reached() {
    let cluster = cluster();
    let sink = sink(&cluster, Duration::from_secs(20), &[]);
    assert!(matches!(
        sink.check("events.web"),
        Err(SinkError::Unavailable(_))
    ));
}
