//! What a line of an access log becomes: a `page` or an `http_request` call of the dialect.
//!
//! Pure and deterministic: the same line at the same place gives the same bytes, id included.

use std::net::IpAddr;

use serde::Serialize;
use uuid::Uuid;
use weir_common::time::rfc3339;

use super::access_log::{Line, Request};

/// Endings of a last path segment that still make a page, besides no dot at all.
const PAGE_ENDINGS: [&str; 7] = [".html", ".htm", ".xhtml", ".php", ".asp", ".aspx", ".jsp"];

/// Most bytes of a request that is not HTTP which are kept.
const UNREADABLE_MAX_BYTES: usize = 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    message_id: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<String>,
    context: Context<'a>,
    properties: Properties<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Page::is_empty")]
    page: Page<'a>,
    library: Library,
}

#[derive(Serialize, Default)]
struct Page<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    referrer: &'a str,
}

impl Page<'_> {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.referrer.is_empty()
    }
}

#[derive(Serialize)]
struct Library {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Properties<'a> {
    Page {
        path: &'a str,
    },
    Request {
        method: &'a str,
        path: &'a str,
        status: u16,
        bytes: u64,
    },
    Unreadable {
        request: &'a str,
        status: u16,
        bytes: u64,
    },
}

/// Returns the call, as JSON, for the line `number` (from 1) whose bytes are `raw`. `site` is the
/// scheme and host that paths belong to, such as `https://example.com`.
pub(crate) fn build(raw: &[u8], number: u64, line: &Line, site: Option<&str>) -> Vec<u8> {
    let (page, properties, kind) = describe(line, site);
    let address = line.host.parse::<IpAddr>().ok();
    let call = Call {
        r#type: kind.0,
        event: kind.1,
        message_id: event_id(raw, number).to_string(),
        timestamp: rfc3339(line.ts_ms),
        anonymous_id: address.is_none().then(|| visitor(line)),
        context: Context {
            ip: address,
            user_agent: &line.agent,
            page,
            library: Library {
                name: "weir import",
                version: env!("CARGO_PKG_VERSION"),
            },
        },
        properties,
    };
    // Neither a map with keys that are no text nor a fallible Serialize is in there.
    serde_json::to_vec(&call).unwrap_or_default()
}

type Kind = (&'static str, Option<&'static str>);

fn describe<'a>(line: &'a Line, site: Option<&str>) -> (Page<'a>, Properties<'a>, Kind) {
    const TRACK: Kind = ("track", Some("http_request"));
    let mut page = Page {
        referrer: &line.referrer,
        ..Page::default()
    };
    let (status, bytes) = (line.status, line.bytes);
    let (method, target) = match &line.request {
        Request::Call { method, target } => (method.as_str(), target.as_str()),
        Request::Unreadable(text) => {
            let mut end = text.len().min(UNREADABLE_MAX_BYTES);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let request = &text[..end];
            return (
                page,
                Properties::Unreadable {
                    request,
                    status,
                    bytes,
                },
                TRACK,
            );
        }
    };
    let (origin, path, query) = split_target(target);
    if !is_page(method, status, path) {
        let properties = Properties::Request {
            method,
            path,
            status,
            bytes,
        };
        return (page, properties, TRACK);
    }
    page.path = Some(path);
    page.search = query.map(|query| format!("?{query}"));
    page.url = origin.or(site).map(|site| match query {
        Some(query) => format!("{site}{path}?{query}"),
        None => format!("{site}{path}"),
    });
    (page, Properties::Page { path }, ("page", None))
}

/// Tells whether a line makes a `page` call.
pub(crate) fn is_page_view(line: &Line) -> bool {
    match &line.request {
        Request::Call { method, target } => is_page(method, line.status, split_target(target).1),
        Request::Unreadable(_) => false,
    }
}

/// Tells whether a request is a page view: a GET answered 2xx or 304 whose last path segment has no
/// dot or a page's ending.
fn is_page(method: &str, status: u16, path: &str) -> bool {
    let answered = (200..300).contains(&status) || status == 304;
    let segment = path.rsplit('/').next().unwrap_or_default();
    let ending = segment.rfind('.').map(|dot| &segment[dot..]);
    let page =
        ending.is_none_or(|ending| PAGE_ENDINGS.iter().any(|e| ending.eq_ignore_ascii_case(e)));
    method == "GET" && answered && page
}

/// Splits a target into the origin of an absolute one, the path and the query.
fn split_target(target: &str) -> (Option<&str>, &str, Option<&str>) {
    let (address, query) = match target.split_once('?') {
        Some((address, query)) => (address, Some(query)),
        None => (target, None),
    };
    let absolute = ["http://", "https://"]
        .iter()
        .find(|scheme| address.len() > scheme.len() && starts_with_ignoring_case(address, scheme));
    let Some(scheme) = absolute else {
        return (None, address, query);
    };
    match address[scheme.len()..].find('/') {
        Some(slash) => {
            let (origin, path) = address.split_at(scheme.len() + slash);
            (Some(origin), path, query)
        }
        None => (Some(address), "/", query),
    }
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// The id of the event that line `number` makes: a UUID of version 8 from both.
fn event_id(raw: &[u8], number: u64) -> Uuid {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"weir access-log line\0");
    hasher.update(&number.to_le_bytes());
    hasher.update(raw);
    uuid_of(&hasher)
}

/// An id for a visitor whose address the log does not have: of host name, agent and UTC day, so
/// that it lasts as long as the one the collector makes from an address.
fn visitor(line: &Line) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"weir access-log visitor\0");
    hasher.update(&line.ts_ms.div_euclid(86_400_000).to_le_bytes());
    hasher.update(line.host.as_bytes());
    hasher.update(b"\0");
    hasher.update(line.agent.as_bytes());
    uuid_of(&hasher).to_string()
}

fn uuid_of(hasher: &blake3::Hasher) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
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
}
