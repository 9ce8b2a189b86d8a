//! What a 200 promises, and what is answered when Kafka does not keep it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::StatusCode;
use weir_common::config::HumanDuration;
use weir_event::key_hash;

use crate::harness::{Collector, Http, broker, create_topic, kept, kept_ids, shared_broker, wait};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_200_lies_in_the_partition_of_its_key() {
    let kafka = shared_broker().await;
    let collector = Collector::start(&kafka, "web", |_| {}).await;
    let http = Http::new();

    the_missing_topic_is_named(&collector, &http).await;
    create_topic(&kafka, "events.web", 4, &[]).await;
    collector.readiness(StatusCode::OK).await;

    for user in 0..20 {
        let event = format!(r#"{{"messageId":"single-{user}","userId":"user-{user}"}}"#);
        let answer = http
            .post(collector.address, "/v1/track", "web", event)
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (StatusCode::OK, r#"{"success":true}"#)
        );
    }
    let events: Vec<_> = (0..500)
        .map(|n| {
            format!(
                r#"{{"type":"page","messageId":"batch-{n}","anonymousId":"visitor-{}"}}"#,
                n % 20
            )
        })
        .collect();
    let batch = format!(
        r#"{{"batch":[{},{{"type":"page","bad":}}]}}"#,
        events.join(",")
    );
    let answer = http
        .post(collector.address, "/v1/batch", "web", batch)
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::OK);

    let kept = kept(&kafka, "events.web").await;
    assert_eq!(kept.len(), 521);
    let partitions: HashSet<_> = kept.iter().map(|record| record.partition).collect();
    assert_eq!(partitions.len(), 4);
    for record in &kept {
        let expected = key_hash(&record.key) % 4;
        assert_eq!(
            u32::try_from(record.partition).unwrap(),
            expected,
            "{:?}",
            record.key
        );
    }
    for n in 0..20 {
        let key = format!("web\0visitor-{n}").into_bytes();
        let ids: Vec<_> = kept
            .iter()
            .filter(|record| record.key == key)
            .map(|record| record.envelope["id"].as_str().unwrap())
            .collect();
        let sent: Vec<_> = (0..25)
            .map(|turn| format!("batch-{}", turn * 20 + n))
            .collect();
        assert_eq!(ids, sent, "in the order they were sent");
    }
    let rejected: Vec<_> = kept
        .iter()
        .filter(|record| record.envelope.get("rejected").is_some())
        .collect();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].envelope["rejected"]["path"], "/batch/500");
    assert!(
        collector
            .metric("weir_ingest_producer_queue_messages 0")
            .await
    );
    assert!(
        collector
            .metric(r#"weir_ingest_events_total{outcome="accepted",platform="web"} 520"#)
            .await
    );
    collector.stop().await;
}

/// Without the topic nothing can be kept, and both sides are told what helps.
async fn the_missing_topic_is_named(collector: &Collector, http: &Http) {
    wait("the topic to be missed", async || {
        let reason = collector.readiness(StatusCode::SERVICE_UNAVAILABLE).await;
        let helps =
            reason.contains("events.web does not exist") && reason.contains("weir topics apply");
        if helps { Ok(()) } else { Err(reason) }
    })
    .await;
    let answer = http
        .post(collector.address, "/v1/track", "web", "{}")
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.retry_after.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "5")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_finds_too_large_becomes_a_rejection_and_harms_no_neighbour() {
    let kafka = shared_broker().await;
    create_topic(&kafka, "events.ios", 1, &[("max.message.bytes", "22000")]).await;
    let collector = Collector::start(&kafka, "ios", |_| {}).await;
    collector.readiness(StatusCode::OK).await;
    // Letters that lz4 cannot shorten much.
    let noise: String = (0..30_000_u32)
        .map(|n| char::from(b'0' + (blake3::hash(&n.to_le_bytes()).as_bytes()[0] % 64)))
        .filter(|c| *c != '\\')
        .collect();
    let batch = format!(
        r#"{{"batch":[{{"type":"page","messageId":"a"}},{{"type":"track","messageId":"large","x":"{noise}"}},{{"type":"page","messageId":"b"}}]}}"#
    );
    let answer = Http::new()
        .post(collector.address, "/v1/batch", "ios", batch)
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let kept = kept(&kafka, "events.ios").await;
    let mut ids: Vec<_> = kept
        .iter()
        .map(|record| record.envelope["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b", "large"]);
    let large = kept
        .iter()
        .find(|record| record.envelope["id"] == "large")
        .unwrap();
    assert_eq!(large.envelope["rejected"]["code"], "too_large");
    assert_eq!(large.envelope["rejected"]["path"], "/batch/1");
    collector.stop().await;
}

/// What load was sent and answered.
#[derive(Default)]
struct Load {
    kept: Mutex<Vec<String>>,
    refused: AtomicUsize,
    strange: Mutex<Vec<String>>,
}

impl Load {
    /// Sends batches of five, one after another, until `stop` says so or nobody listens any more.
    async fn send(
        self: Arc<Self>,
        collector: std::net::SocketAddr,
        platform: &'static str,
        sender: usize,
        stop: impl Fn() -> bool,
    ) {
        let http = Http::new();
        for turn in 0.. {
            if stop() {
                return;
            }
            let ids: Vec<_> = (0..5).map(|n| format!("{sender}-{turn}-{n}")).collect();
            let events: Vec<_> = ids
                .iter()
                .map(|id| format!(r#"{{"type":"track","messageId":"{id}","userId":"{sender}"}}"#))
                .collect();
            let batch = format!(r#"{{"batch":[{}]}}"#, events.join(","));
            match http.post(collector, "/v1/batch", platform, batch).await {
                Some(answer) if answer.status == StatusCode::OK => {
                    self.kept.lock().unwrap().extend(ids)
                }
                Some(answer)
                    if answer.status == StatusCode::SERVICE_UNAVAILABLE
                        && !answer.retry_after.is_empty() =>
                {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Some(answer) => self.strange.lock().unwrap().push(format!("{answer:?}")),
                None => return,
            }
        }
    }

    fn answered(&self) -> usize {
        self.kept.lock().unwrap().len()
    }

    /// Waits until more than so many events were answered 200.
    async fn answers(&self, events: usize) {
        wait("events answered 200", async || {
            let answered = self.answered();
            if answered > events {
                Ok(())
            } else {
                Err(format!("{answered} events"))
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_under_load_loses_nothing_that_was_answered_200() {
    let kafka = shared_broker().await;
    create_topic(&kafka, "events.android", 2, &[]).await;
    let collector = Collector::start(&kafka, "android", |_| {}).await;
    collector.readiness(StatusCode::OK).await;
    let load = Arc::new(Load::default());
    let senders: Vec<_> = (0..32)
        .map(|sender| {
            tokio::spawn(Arc::clone(&load).send(collector.address, "android", sender, || false))
        })
        .collect();
    load.answers(2_000).await;
    let before = load.answered();
    collector.stop_soon();
    collector.stop().await;
    for sender in senders {
        sender.await.unwrap();
    }
    let answered = load.kept.lock().unwrap().clone();
    assert!(answered.len() >= before);
    assert_eq!(*load.strange.lock().unwrap(), Vec::<String>::new());
    let kept = kept_ids(&kafka, "events.android").await;
    let known: HashSet<_> = kept.iter().collect();
    let lost: Vec<_> = answered.iter().filter(|id| !known.contains(id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        answered.len()
    );
    assert_eq!(kept.len(), known.len(), "nothing is there twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_requests_are_503_and_nothing_that_was_answered_200_is_lost() {
    let broker = Arc::new(tokio::task::spawn_blocking(broker).await.unwrap());
    let kafka = weir_common::kafka::KafkaConfig::new(broker.bootstrap());
    create_topic(&kafka, "events.server", 2, &[]).await;
    let collector = Collector::start(&kafka, "server", |config| {
        config.ack_timeout = HumanDuration(Duration::from_secs(4));
    })
    .await;
    collector.readiness(StatusCode::OK).await;
    let load = Arc::new(Load::default());
    let done = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let done = Arc::clone(&done);
            let stop = move || done.load(Ordering::Relaxed) > 0;
            tokio::spawn(Arc::clone(&load).send(collector.address, "server", sender, stop))
        })
        .collect();
    load.answers(500).await;

    let killed = Arc::clone(&broker);
    tokio::task::spawn_blocking(move || killed.kill())
        .await
        .unwrap()
        .unwrap();
    let reason = collector.readiness(StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(reason.contains("Kafka cannot be reached"), "{reason}");
    let refused = load.refused.load(Ordering::Relaxed);
    wait("refusals", async || {
        let now = load.refused.load(Ordering::Relaxed);
        if now > refused + 50 {
            Ok(())
        } else {
            Err(format!("{now} refusals"))
        }
    })
    .await;
    let answer = Http::new()
        .post(collector.address, "/v1/track", "server", "{}")
        .await
        .unwrap();
    assert_eq!(
        (answer.status, answer.retry_after.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "5")
    );
    assert!(answer.body.contains("kafka_unavailable"), "{}", answer.body);

    let answered = load.answered();
    let started = Arc::clone(&broker);
    tokio::task::spawn_blocking(move || started.restart())
        .await
        .unwrap()
        .unwrap();
    collector.readiness(StatusCode::OK).await;
    load.answers(answered + 500).await;
    done.store(1, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    collector.stop().await;
    assert_eq!(*load.strange.lock().unwrap(), Vec::<String>::new());
    let kept: HashSet<_> = kept_ids(&kafka, "events.server")
        .await
        .into_iter()
        .collect();
    let answered = load.kept.lock().unwrap().clone();
    let lost: Vec<_> = answered.iter().filter(|id| !kept.contains(*id)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        answered.len()
    );
}
