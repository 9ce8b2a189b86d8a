use serde_json::{Value, json};

use super::*;
use crate::import::access_log::parse;

fn line(host: &str, request: &str, status: u16) -> Vec<u8> {
    format!(
        r#"{host} - - [17/May/2015:10:05:03 +0000] "{request}" {status} 12 "http://r/" "agent""#
    )
    .into_bytes()
}

fn call(raw: &[u8], site: Option<&str>) -> Value {
    serde_json::from_slice(&build(raw, 7, &parse(raw).unwrap(), site)).unwrap()
}

fn kind(request: &str, status: u16) -> String {
    let call = call(&line("192.0.2.1", request, status), None);
    call["type"].as_str().unwrap().to_owned()
}

#[test]
fn a_page_has_its_path_without_query_and_keeps_time_address_agent_and_referrer() {
    let call = call(
        &line("192.0.2.1", "GET /blog/?page=2 HTTP/1.1", 200),
        Some("https://example.com"),
    );
    let id = call["messageId"].as_str().unwrap();
    assert_eq!(Uuid::parse_str(id).unwrap().get_version_num(), 8);
    let expected = json!({
        "type": "page",
        "messageId": id,
        "timestamp": "2015-05-17T10:05:03.000Z",
        "context": {
            "ip": "192.0.2.1",
            "userAgent": "agent",
            "page": {
                "path": "/blog/",
                "search": "?page=2",
                "url": "https://example.com/blog/?page=2",
                "referrer": "http://r/"
            },
            "library": {"name": "weir import", "version": env!("CARGO_PKG_VERSION")}
        },
        "properties": {"path": "/blog/"}
    });
    assert_eq!(call, expected);
}

#[test]
fn every_other_line_is_an_http_request() {
    let call = call(&line("192.0.2.1", "POST /login?x HTTP/1.1", 302), None);
    assert_eq!(call["type"], "track");
    assert_eq!(call["event"], "http_request");
    let expected = json!({"method": "POST", "path": "/login", "status": 302, "bytes": 12});
    assert_eq!(call["properties"], expected);
    assert_eq!(call["context"]["page"], json!({"referrer": "http://r/"}));
}

#[test]
fn pages_are_told_by_method_status_and_ending() {
    for target in [
        "/",
        "/a",
        "/a/",
        "/a.b/c",
        "/a.html",
        "/a.tar.PHP",
        "/a?x=b.png",
        "/x.xhtml?",
    ] {
        assert_eq!(
            kind(&format!("GET {target} HTTP/1.1"), 200),
            "page",
            "{target}"
        );
    }
    for target in [
        "/a.png",
        "/a.html.gz",
        "/a.",
        "/robots.txt",
        "/.env",
        "/a/.htmlx",
    ] {
        assert_eq!(
            kind(&format!("GET {target} HTTP/1.1"), 200),
            "track",
            "{target}"
        );
    }
    for (method, status, expected) in [
        ("GET", 204, "page"),
        ("GET", 304, "page"),
        ("GET", 301, "track"),
        ("GET", 404, "track"),
        ("HEAD", 200, "track"),
        ("POST", 200, "track"),
        ("get", 200, "track"),
    ] {
        assert_eq!(
            kind(&format!("{method} / HTTP/1.1"), status),
            expected,
            "{method} {status}"
        );
    }
}

#[test]
fn an_absolute_target_brings_its_own_host() {
    let call = call(
        &line("192.0.2.1", "GET http://other.example/a?b HTTP/1.1", 200),
        Some("https://example.com"),
    );
    assert_eq!(call["properties"]["path"], "/a");
    assert_eq!(call["context"]["page"]["url"], "http://other.example/a?b");
    assert_eq!(split_target("http://x"), (Some("http://x"), "/", None));
    assert_eq!(split_target("http://"), (None, "http://", None));
}

#[test]
fn what_is_no_http_is_kept_as_text() {
    let call = call(&line("192.0.2.1", r"\x16\x03", 400), None);
    assert_eq!(
        call["properties"],
        json!({"request": r"\x16\x03", "status": 400, "bytes": 12})
    );
    let long = "ä".repeat(2000);
    let call = super::tests::call(&line("192.0.2.1", &long, 400), None);
    assert_eq!(call["properties"]["request"].as_str().unwrap().len(), 1024);
}

#[test]
fn a_host_name_is_hashed_with_agent_and_day_in_place_of_an_address() {
    let raw = line("client.example", "GET / HTTP/1.1", 200);
    let first = call(&raw, None);
    assert_eq!(first["context"].get("ip"), None);
    let id = first["anonymousId"].as_str().unwrap();
    assert!(!id.contains("client"));
    let text = String::from_utf8(raw).unwrap();
    assert_eq!(
        call(text.replace("GET /", "GET /b").as_bytes(), None)["anonymousId"],
        id
    );
    for changed in [
        text.replace("17/May", "18/May"),
        text.replace("agent", "other"),
    ] {
        assert_ne!(call(changed.as_bytes(), None)["anonymousId"], id);
    }
}

#[test]
fn the_id_depends_on_the_line_and_its_number_only() {
    let raw = line("192.0.2.1", "GET / HTTP/1.1", 200);
    assert_eq!(event_id(&raw, 7), event_id(&raw, 7));
    assert_ne!(event_id(&raw, 7), event_id(&raw, 8));
    assert_ne!(
        event_id(&raw, 7),
        event_id(&line("192.0.2.2", "GET / HTTP/1.1", 200), 7)
    );
    assert_eq!(
        call(&raw, None)["messageId"],
        call(&raw, Some("http://x"))["messageId"]
    );
}
