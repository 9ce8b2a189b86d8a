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
mod tests;
