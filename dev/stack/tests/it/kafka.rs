//! The broker: restarts, kills, freezes.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};
use weir_stack::Kafka;
use weir_stack::wait::{self, Check};

fn client(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", "test")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "1000")
        .set("heartbeat.interval.ms", "300")
        .set("message.max.bytes", "8000000");
    config
}

fn high_watermark(kafka: &Kafka) -> Check<i64> {
    Check::from_result(
        client(kafka)
            .create::<BaseConsumer>()
            .and_then(|consumer| consumer.fetch_watermarks("events", 0, Duration::from_secs(2)))
            .map(|(_, high)| high),
    )
}

#[tokio::test]
async fn records_survive_a_stop_a_kill_and_a_freeze() {
    let kafka = Kafka::start(weir_stack::kafka::StartOptions::default()).unwrap();
    let admin: AdminClient<DefaultClientContext> = client(&kafka).create().unwrap();
    let topic = NewTopic::new("events", 1, TopicReplication::Fixed(1));
    admin
        .create_topics([&topic], &AdminOptions::new())
        .await
        .unwrap();
    let producer: FutureProducer = client(&kafka).create().unwrap();
    let mut sent = 0;
    let send = async |value: &[u8]| {
        let record = FutureRecord::<(), _>::to("events").payload(value);
        producer
            .send(record, Duration::from_secs(30))
            .await
            .unwrap();
    };

    send(b"first").await;
    // A record of 5 MB passes the broker.
    send(&vec![b'x'; 5_000_000]).await;
    sent += 2;
    let within = Duration::from_secs(30);
    let bootstrap = kafka.bootstrap().to_owned();
    let pid = kafka.service().pid();

    kafka.restart().unwrap();
    assert_ne!(kafka.service().pid(), pid);
    assert_eq!(kafka.bootstrap(), bootstrap);
    let high = wait::until("the watermark after a restart", within, || {
        high_watermark(&kafka)
    });
    assert_eq!(high.unwrap(), sent);

    kafka.kill().unwrap();
    assert!(kafka.service().check_ready().is_err());
    kafka.service().start().unwrap();
    let high = wait::until("the watermark after a kill", within, || {
        high_watermark(&kafka)
    });
    assert_eq!(high.unwrap(), sent);

    kafka.service().sigstop().unwrap();
    assert!(kafka.service().check_ready().is_err());
    kafka.service().sigcont().unwrap();
    kafka.service().wait_ready().unwrap();
    send(b"last").await;
    sent += 1;
    let high = wait::until("the watermark after a freeze", within, || {
        high_watermark(&kafka)
    });
    assert_eq!(high.unwrap(), sent);

    // Session timeouts of a second are allowed: the group is joined and reads everything.
    let consumer: BaseConsumer = client(&kafka).create().unwrap();
    consumer.subscribe(&["events"]).unwrap();
    let mut read = 0;
    wait::until("the group to read everything", within, || {
        if let Some(record) = consumer.poll(Duration::from_millis(100)) {
            let record = record.unwrap();
            assert!(record.payload().is_some());
            read += 1;
        }
        Check::that(read == sent, format!("{read} of {sent} records"))
    })
    .unwrap();
}

#[test]
fn a_topic_nobody_made_does_not_appear() {
    let kafka = Kafka::start(weir_stack::kafka::StartOptions::default()).unwrap();
    let consumer: BaseConsumer = client(&kafka).create().unwrap();
    let metadata = consumer
        .fetch_metadata(Some("misspelt"), Duration::from_secs(5))
        .unwrap();
    assert!(metadata.topics()[0].error().is_some());
}

#[test]
fn a_broker_that_cannot_start_shows_the_end_of_its_log() {
    let options = weir_stack::kafka::StartOptions {
        settings: [("num.io.threads".to_owned(), "none".to_owned())].into(),
        ..Default::default()
    };
    let error = Kafka::start(options).unwrap_err();
    let message = format!("{error:#}");
    assert!(message.contains("num.io.threads"), "{message}");
}
