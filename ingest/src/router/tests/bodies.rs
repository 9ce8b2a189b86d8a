//! Bodies and the events in them: what is read, what is refused, what is recorded as rejected.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_body_that_cannot_be_split_is_400_and_says_where() {
    let service = Service::new();
    let cases: [(&str, &[u8], &str); 9] = [
        (
            "/v1/track",
            b"",
            "line 1, column 0: EOF while parsing a value",
        ),
        (
            "/v1/track",
            b"{\"event\":",
            "line 1, column 9: EOF while parsing a value",
        ),
        (
            "/v1/track",
            b"{\"event\":\"\xff\"}",
            "line 1, column 11: a byte that is no UTF-8",
        ),
        ("/v1/track", b"[1]", "the body is no JSON object"),
        ("/v1/track", b"\x1f\x8b\x08\x00garbage", "damaged gzip: "),
        ("/v1/batch", b"", "line 1, column 1: expected an object"),
        (
            "/v1/batch",
            b"{\"batch\":[{},\n{\"a\":\"b",
            "line 2, column 8: expected the end of a string",
        ),
        ("/v1/batch", b"{\"batch\":{}}", "/batch is no array"),
        ("/v1/batch", b"{\"events\":[]}", "the body has no /batch"),
    ];
    for (path, body, message) in cases {
        let answer = service.post(path, body.to_vec()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "malformed_body"),
            "{message}"
        );
        let found = answer.body["message"].as_str().unwrap();
        assert!(found.starts_with(message), "{found}");
        assert!(
            answer.body["hint"]
                .as_str()
                .unwrap()
                .contains("nothing of this request was kept")
        );
    }
    assert_eq!(service.kept().len(), 0);
    assert!(service.metric(r#"weir_ingest_requests_total{endpoint="batch",status="400"} 4"#));
}

/// Poison beside two good neighbours: the batch is answered 200 and every event has one record.
#[tokio::test]
async fn one_bad_event_never_harms_its_neighbours() {
    let deep = format!(
        "{{\"type\":\"track\",\"a\":{}{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let keys: Vec<String> = (0..100_000).map(|n| format!("\"k{n}\":1")).collect();
    let many_keys = format!("{{\"type\":\"track\",{}}}", keys.join(","));
    let call = None;
    let poison: [(&[u8], Option<&str>); 16] = [
        (b"{\"type\":\"track\",\"a\":\"\xff\xfe\"}", Some("invalid_json")),
        (b"{\"type\":\"track\",\"a\":NaN}", Some("invalid_json")),
        (b"{\"type\":\"track\",\"a\":01}", Some("invalid_json")),
        (b"{\"type\":\"track\",\"a\":\"\x00\"}", Some("invalid_json")),
        (b"{\"type\":\"track\" \"a\"}", Some("invalid_json")),
        (b"null", Some("not_an_object")),
        (b"[{\"type\":\"track\"}]", Some("not_an_object")),
        (b"{}", Some("unknown_type")),
        (many_keys.as_bytes(), Some("too_large")),
        // What only the processor can judge reaches it as it is.
        (deep.as_bytes(), call),
        (b"{\"type\":\"track\",\"a\":\"\\ud800\",\"\\udfff\":1,\"messageId\":\"\\ud800\"}", call),
        (b"{\"type\":\"track\",\"a\":1e999}", call),
        (b"{\"type\":\"track\",\"a\":1,\"a\":2,\"userId\":\"x\",\"userId\":\"y\"}", call),
        (b"{\"type\":\"track\",\"properties\":{\"a.b\":1,\"a\":{\"b\":2}}}", call),
        (b"{\"type\":\"track\",\"a\":99999999999999999999999999}", call),
        (b"{\"type\":\"track\",\"messageId\":{},\"userId\":[],\"properties\":5,\"context\":\"x\"}", call),
    ];
    for (event, code) in poison {
        let service = Service::new();
        let mut body = b"{\"batch\":[{\"type\":\"page\",\"messageId\":\"before\"},".to_vec();
        body.extend_from_slice(event);
        body.extend_from_slice(b",{\"type\":\"page\",\"messageId\":\"after\"}]}");
        let shown = String::from_utf8_lossy(&event[..event.len().min(60)]);
        let answer = service.post("/v1/batch", body).await;
        assert_eq!(answer.status, 200, "{shown}");
        let records = service.sink.records();
        assert_eq!(records.len(), 3, "{shown}");
        let texts: Vec<_> = records
            .iter()
            .map(|record| String::from_utf8(record.value.clone()).unwrap())
            .collect();
        assert!(texts[0].contains(r#""id":"before""#) && texts[2].contains(r#""id":"after""#));
        match code {
            Some(code) => {
                assert!(
                    texts[1].contains(&format!(r#""rejected":{{"code":"{code}","path":"/batch/1"#)),
                    "{shown}: {}",
                    texts[1]
                );
                let outcome =
                    format!(r#"weir_ingest_events_total{{outcome="{code}",platform="web"}} 1"#);
                assert!(service.metric(&outcome), "{outcome}");
            }
            None => assert!(
                texts[1].contains(std::str::from_utf8(event).unwrap()),
                "{shown}: {}",
                texts[1]
            ),
        }
        assert!(service.metric(&format!(
            r#"weir_ingest_events_total{{outcome="accepted",platform="web"}} {}"#,
            if code.is_some() { 2 } else { 3 }
        )));
    }
}

#[tokio::test]
async fn a_single_event_that_is_too_large_is_recorded_as_rejected() {
    let service = Service::new();
    let body = format!(r#"{{"messageId":"m","x":"{}"}}"#, "x".repeat(40_000));
    assert_eq!(service.post("/v1/track", body).await.status, 200);
    let kept = service.kept();
    assert_eq!(
        (&kept[0]["rejected"]["code"], &kept[0]["rejected"]["path"]),
        (&json!("too_large"), &json!(""))
    );
}

#[tokio::test]
async fn limits_of_bodies_and_batches_are_413() {
    let service = Service::with(&IngestConfig {
        max_decoded_bytes: HumanSize(1 << 20),
        max_batch_events: 3,
        ..IngestConfig::default()
    });
    let five_mb = format!(r#"{{"x":"{}"}}"#, "x".repeat(5 << 20));
    let answer = service.post("/v1/track", five_mb.clone()).await;
    assert_eq!((answer.status, answer.code()), (413, "body_too_large"));
    let declared = Request::post("/v1/track")
        .header("x-write-key", WEB)
        .header("content-length", 5 << 20);
    assert_eq!(service.send(declared, Body::empty()).await.status, 413);
    let answer = service.post("/v1/track", gzip(five_mb.as_bytes())).await;
    assert_eq!((answer.status, answer.code()), (413, "body_too_large"));
    assert!(
        answer.body["message"]
            .as_str()
            .unwrap()
            .contains("after decompression")
    );
    let answer = service.post("/v1/batch", r#"{"batch":[1,2,3,4]}"#).await;
    assert_eq!((answer.status, answer.code()), (413, "too_many_events"));
    assert_eq!(service.kept().len(), 0);
}

#[tokio::test]
async fn bodies_are_read_by_content_not_by_header() {
    let service = Service::new();
    let post = || Request::post("/v1/track").header("x-write-key", WEB);
    let event = br#"{"event":"x"}"#;
    let requests = [
        (
            post().header("content-type", "application/json"),
            event.to_vec(),
        ),
        (post().header("content-type", "text/plain"), event.to_vec()),
        (
            post().header("content-type", "application/x-www-form-urlencoded"),
            event.to_vec(),
        ),
        (post(), event.to_vec()),
        (post(), gzip(event)),
        (post().header("content-encoding", "gzip"), gzip(event)),
        (post().header("content-encoding", "gzip"), event.to_vec()),
    ];
    for (index, (request, body)) in requests.into_iter().enumerate() {
        assert_eq!(service.send(request, body).await.status, 200, "{index}");
    }
    for envelope in service.kept() {
        assert_eq!(envelope["call"], json!({"event": "x"}));
    }
}

#[tokio::test]
async fn records_that_kafka_finds_too_large_are_kept_as_rejections() {
    let service = Service::new();
    service.sink.set(Mode::UpTo(18_000));
    let body = format!(
        r#"{{"batch":[{{"type":"page"}},{{"type":"track","x":"{}"}}]}}"#,
        "x".repeat(30_000)
    );
    assert_eq!(service.post("/v1/batch", body).await.status, 200);
    let kept = service.kept();
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[1]["rejected"]["code"], "too_large");
    assert!(service.metric(r#"weir_ingest_events_total{outcome="accepted",platform="web"} 1"#));
    assert!(service.metric(r#"weir_ingest_events_total{outcome="too_large",platform="web"} 1"#));
    service.sink.set(Mode::UpTo(10));
    assert_eq!(service.post("/v1/track", "{}").await.status, 503);
}

#[tokio::test]
async fn bodies_beyond_the_memory_bound_are_503() {
    let config = IngestConfig {
        max_buffered_bytes: HumanSize(10_000),
        ..IngestConfig::default()
    };
    let service = Service::with(&config);
    let answer = service
        .post("/v1/track", format!(r#"{{"x":"{}"}}"#, "x".repeat(11_000)))
        .await;
    assert_eq!((answer.status, answer.code()), (503, "overloaded"));
    assert_eq!(service.post("/v1/track", "{}").await.status, 200);
    assert!(service.metric("weir_ingest_buffered_bytes 0"));
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let service = Service::with(&IngestConfig {
        read_timeout: HumanDuration(std::time::Duration::from_millis(10)),
        ..IngestConfig::default()
    });
    let never = futures_util::stream::pending::<Result<&str, std::io::Error>>();
    let answer = service.post("/v1/track", Body::from_stream(never)).await;
    assert_eq!(
        (answer.status, answer.code(), answer.header("connection")),
        (408, "slow_body", "close")
    );
}

#[tokio::test]
async fn an_empty_batch_is_kept_trivially() {
    let service = Service::new();
    assert_eq!(
        service.post("/v1/batch", r#"{"batch":[]}"#).await.status,
        200
    );
    assert_eq!(service.kept().len(), 0);
}

/// A body that sends some bytes and then nothing more; tells `waiting` once they were read.
fn stalling(bytes: usize, waiting: &tokio::sync::mpsc::UnboundedSender<()>) -> Body {
    let waiting = waiting.clone();
    let first = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![b' '; bytes])]);
    let rest = futures_util::stream::poll_fn(move |_| {
        let _ = waiting.send(());
        std::task::Poll::Pending
    });
    Body::from_stream(futures_util::StreamExt::chain(first, rest))
}

#[tokio::test]
async fn requests_without_a_key_in_their_head_keep_no_others_out() {
    let service = Arc::new(Service::with(&IngestConfig {
        max_encoded_bytes: HumanSize(64 << 10),
        max_decoded_bytes: HumanSize(64 << 10),
        max_batch_events: 10,
        max_buffered_bytes: HumanSize(1 << 20),
        ..IngestConfig::default()
    }));
    let (waiting, mut waits) = tokio::sync::mpsc::unbounded_channel();
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (service, body) = (Arc::clone(&service), stalling(60 << 10, &waiting));
        slow.spawn(async move { service.send(Request::post("/v1/track"), body).await.status });
    }
    for _ in 0..20 {
        waits.recv().await.unwrap();
    }
    let event = format!(r#"{{"messageId":"m","x":"{}"}}"#, "x".repeat(30_000));
    assert_eq!(service.post("/v1/track", event.clone()).await.status, 200);
    let in_body = format!(r#"{{"writeKey":"{WEB}",{}"#, &event[1..]);
    let answer = service
        .send(Request::post("/v1/track"), in_body.clone())
        .await;
    assert_eq!((answer.status, answer.code()), (503, "overloaded"));

    let mut answers: Vec<u16> = slow.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers[..4], [408; 4], "long before `read_timeout`");
    assert_eq!(answers[4..], [503; 16]);
    let answer = service.send(Request::post("/v1/track"), in_body).await;
    assert_eq!(answer.status, 200);
    assert!(service.metric("weir_ingest_buffered_bytes 0"));
}
