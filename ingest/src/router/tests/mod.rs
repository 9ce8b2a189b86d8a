//! Requests through the whole router, with memory in Kafka's place.

use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use serde_json::{Value, json};
use tower::ServiceExt;
use weir_common::config::{HumanDuration, HumanSize};
use weir_common::telemetry::Metrics;
use weir_event::Envelope;

mod answers;
mod bodies;

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
async fn a_panic_is_a_500_in_the_usual_shape() {
    let response = panicked(Box::new("oops"));
    assert_eq!(response.status().as_u16(), 500);
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["code"], "internal");
    assert!(!body.to_string().contains("oops"));
}
