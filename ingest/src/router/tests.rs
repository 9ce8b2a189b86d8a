//! Requests through the whole router, with memory in Kafka's place.

use std::io::Write;
use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tower::ServiceExt;
use weir_common::config::{HumanDuration, HumanSize};
use weir_common::telemetry::Metrics;
use weir_event::Envelope;

use super::*;
use crate::collect::Peer;
use crate::config::IngestConfig;
use crate::metrics::IngestMetrics;
use crate::sink::SinkError;
use crate::sink::memory::{MemorySink, Mode};
use crate::sources::Sources;
use crate::visitor::VisitorSecret;

const WEB: &str = "web-key-0123456789";
const SERVER: &str = "server-key-0123456789";

const SOURCES: &str = r#"
[[source]]
id = "shop"
platform = "web"
[[source.key]]
key = "web-key-0123456789"
class = "browser"
[[source]]
id = "backend"
platform = "server"
[[source.key]]
key = "server-key-0123456789"
class = "server"
"#;

struct Service {
    router: Router,
    sink: MemorySink,
    metrics: Metrics,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Service {
    fn new() -> Service {
        Service::with(&IngestConfig::default())
    }

    fn with(config: &IngestConfig) -> Service {
        let metrics = Metrics::new("ingest", "test").unwrap();
        let sink = MemorySink::new();
        let collector = Collector::new(
            config,
            Sources::parse(SOURCES, "sources.toml").unwrap(),
            VisitorSecret::for_testing(7),
            Arc::new(sink.clone()),
            IngestMetrics::new(&metrics).unwrap(),
        );
        Service {
            router: router(Arc::new(collector)),
            sink,
            metrics,
        }
    }

    async fn send(&self, request: axum::http::request::Builder, body: impl Into<Body>) -> Answer {
        let peer = Peer(IpAddr::from([203, 0, 113, 77]));
        let request = request.extension(peer).body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        }
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Request::post(path).header("x-write-key", WEB), body)
            .await
    }

    /// Returns the envelopes kept so far.
    fn kept(&self) -> Vec<Value> {
        let records = self.sink.records();
        for record in &records {
            Envelope::from_slice(&record.value).unwrap();
        }
        records
            .iter()
            .map(|record| serde_json::from_slice(&record.value).unwrap())
            .collect()
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics
            .render()
            .unwrap()
            .lines()
            .any(|found| found == line)
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_call_of_the_dialect_is_kept_and_answered_200() {
    let service = Service::new();
    for kind in ["track", "identify", "page", "screen", "group", "alias"] {
        for path in [format!("/v1/{kind}"), format!("/v1/{kind}/")] {
            let answer = service.post(&path, r#"{"messageId":"m"}"#).await;
            assert_eq!(
                (answer.status, &answer.body),
                (200, &json!({"success": true})),
                "{path}"
            );
            assert_eq!(answer.header("content-type"), "application/json");
        }
        assert_eq!(service.kept().last().unwrap()["type"], kind);
    }
    let answer = service
        .post(
            "/v1/batch",
            r#"{"batch":[{"type":"page"},{"type":"track","n":1}]}"#,
        )
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(service.kept().len(), 14);
    assert!(service.metric(r#"weir_ingest_requests_total{endpoint="batch",status="200"} 1"#));
    assert!(service.metric(r#"weir_ingest_events_total{outcome="accepted",platform="web"} 14"#));
    assert!(service.metric("weir_ingest_buffered_bytes 0"));
}

#[tokio::test]
async fn the_write_key_may_stand_wherever_sdks_put_it() {
    let service = Service::new();
    let event = "{}";
    let in_body = format!(r#"{{"writeKey":"{SERVER}"}}"#);
    let in_batch = format!(r#"{{"writeKey":"{SERVER}","batch":[{{"type":"page"}}]}}"#);
    let basic = "Basic c2VydmVyLWtleS0wMTIzNDU2Nzg5Og==";
    let requests = [
        (
            Request::post("/v1/track").header("authorization", basic),
            event,
        ),
        (
            Request::post("/v1/track").header("authorization", format!("Bearer {SERVER}")),
            event,
        ),
        (
            Request::post("/v1/track").header("x-write-key", SERVER),
            event,
        ),
        (Request::post(format!("/v1/track?writeKey={SERVER}")), event),
        (Request::post("/v1/track"), in_body.as_str()),
        (Request::post("/v1/batch"), in_batch.as_str()),
        (
            Request::post("/v1/track").header("authorization", basic),
            in_body.as_str(),
        ),
    ];
    for (index, (request, body)) in requests.into_iter().enumerate() {
        assert_eq!(
            service.send(request, body.to_owned()).await.status,
            200,
            "{index}"
        );
    }
    for envelope in service.kept() {
        assert_eq!(
            (&envelope["source"], &envelope["key_class"]),
            (&json!("backend"), &json!("server"))
        );
        assert!(!envelope.to_string().contains(SERVER));
    }
}

#[tokio::test]
async fn a_missing_unknown_or_contradicted_key_is_401() {
    let service = Service::new();
    let cases = [
        (Request::post("/v1/track"), "{}", "missing_key"),
        (
            Request::post("/v1/track").header("x-write-key", "other"),
            "{}",
            "unknown_key",
        ),
        (
            Request::post("/v1/track"),
            r#"{"writeKey":"other"}"#,
            "unknown_key",
        ),
        (
            Request::post("/v1/track").header("x-write-key", WEB),
            r#"{"writeKey":"other"}"#,
            "conflicting_keys",
        ),
        (
            Request::post(format!("/v1/track?writeKey={SERVER}")).header("x-write-key", WEB),
            "{}",
            "conflicting_keys",
        ),
    ];
    for (request, body, code) in cases {
        let answer = service.send(request, body).await;
        assert_eq!((answer.status, answer.code()), (401, code));
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"weir\"");
        for part in ["message", "hint"] {
            assert!(!answer.body[part].as_str().unwrap().is_empty());
        }
        assert!(!answer.body.to_string().contains(WEB));
    }
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
async fn unknown_encodings_routes_and_methods_are_told_apart() {
    let service = Service::new();
    let brotli = Request::post("/v1/track")
        .header("x-write-key", WEB)
        .header("content-encoding", "br");
    let answer = service.send(brotli, "x").await;
    assert_eq!(
        (answer.status, answer.code()),
        (415, "unsupported_encoding")
    );
    for path in ["/", "/v1/track/x", "/v1/tracks", "/v2/track", "/v1/"] {
        let answer = service.post(path, "{}").await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
    }
    let answer = service.send(Request::get("/v1/batch"), Body::empty()).await;
    assert_eq!(
        (answer.status, answer.code(), answer.header("allow")),
        (405, "method_not_allowed", "POST, OPTIONS")
    );
    assert!(service.metric(r#"weir_ingest_requests_total{endpoint="other",status="404"} 5"#));
}

#[tokio::test]
async fn what_kafka_does_not_acknowledge_is_503_with_retry_after() {
    let service = Service::new();
    for mode in [
        Mode::Away,
        Mode::Failing(SinkError::Unavailable("timeout".to_owned())),
    ] {
        service.sink.set(mode);
        let answer = service.post("/v1/track", "{}").await;
        assert_eq!((answer.status, answer.code()), (503, "kafka_unavailable"));
        assert_eq!(answer.header("retry-after"), "5");
    }
    service.sink.set(Mode::Failing(SinkError::Full));
    let answer = service.post("/v1/track", "{}").await;
    assert_eq!(
        (answer.status, answer.code(), answer.header("retry-after")),
        (503, "overloaded", "1")
    );
    assert_eq!(service.kept().len(), 0);
    service.sink.set(Mode::Keep);
    assert_eq!(service.post("/v1/track", "{}").await.status, 200);
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
async fn more_requests_than_the_limit_are_503_at_once() {
    let service = Arc::new(Service::with(&IngestConfig {
        max_requests: 1,
        ..IngestConfig::default()
    }));
    service.sink.set(Mode::Hanging);
    let first = tokio::spawn({
        let service = Arc::clone(&service);
        async move { service.post("/v1/track", "{}").await.status }
    });
    service.sink.called(1).await;
    let second = service.post("/v1/track", "{}").await;
    assert_eq!((second.status, second.code()), (503, "overloaded"));
    service.sink.set(Mode::Keep);
    assert_eq!(first.await.unwrap(), 200);
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
async fn request_ids_are_echoed_or_made() {
    let service = Service::new();
    let with = |id: &'static str| {
        Request::post("/v1/track")
            .header("x-write-key", WEB)
            .header("x-request-id", id)
    };
    assert_eq!(
        service
            .send(with("abc-1"), "{}")
            .await
            .header("x-request-id"),
        "abc-1"
    );
    assert_eq!(
        service
            .send(with("a b"), "{}")
            .await
            .header("x-request-id")
            .len(),
        36
    );
    assert_eq!(
        service
            .post("/nowhere", "{}")
            .await
            .header("x-request-id")
            .len(),
        36
    );
}

#[tokio::test]
async fn browsers_of_any_origin_may_send() {
    let service = Service::new();
    let preflight = Request::options("/v1/batch")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    let answer = service.send(preflight, Body::empty()).await;
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://shop.example"
    );
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "authorization,content-type"
    );
    assert_eq!(
        answer.header("access-control-allow-methods"),
        "POST, OPTIONS"
    );
    let post = Request::post("/v1/track")
        .header("x-write-key", WEB)
        .header("origin", "https://shop.example");
    let answer = service.send(post, "{}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://shop.example"
    );
    assert_eq!(
        (
            answer.header("access-control-allow-credentials"),
            answer.header("vary")
        ),
        ("true", "origin")
    );
}

#[tokio::test]
async fn the_proxy_in_front_is_not_the_visitor() {
    let service = Service::with(&IngestConfig {
        trusted_proxies: vec!["203.0.113.0/24".parse().unwrap()],
        ..IngestConfig::default()
    });
    let request = Request::post("/v1/track")
        .header("x-write-key", WEB)
        .header("x-forwarded-for", "198.51.100.9");
    service
        .send(request.header("user-agent", "Agent/1"), "{}")
        .await;
    let kept = service.kept();
    assert_eq!(
        (&kept[0]["address"], &kept[0]["agent"]),
        (&json!("198.51.100.0"), &json!("Agent/1"))
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

#[tokio::test]
async fn a_panic_is_a_500_in_the_usual_shape() {
    let response = panicked(Box::new("oops"));
    assert_eq!(response.status().as_u16(), 500);
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["code"], "internal");
    assert!(!body.to_string().contains("oops"));
}
