//! Requests to send, prepared before the clock runs: the demo's traffic, which is that of a shop on four platforms.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::demo::traffic::{self, Traffic, text};

/// The seed of all traffic: every run sends the same, but for ids' times.
const SEED: u64 = 0x57e1_12b3;

/// A request and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// Sent as it is.
    pub(crate) request: Request<Full<Bytes>>,
    /// Events in it.
    pub(crate) events: u64,
    /// Bytes of its body.
    pub(crate) bytes: u64,
}

/// Whom requests are for.
#[derive(Clone, Debug)]
pub(crate) struct Addressee<'a> {
    /// `host:port`.
    pub(crate) authority: &'a str,
    /// Write key of each source.
    pub(crate) keys: &'a BTreeMap<String, String>,
}

impl Addressee<'_> {
    fn prepare(&self, request: &traffic::Request) -> Result<Prepared> {
        let key = self
            .keys
            .get(request.source)
            .map_or(request.source, String::as_str);
        let body = Bytes::from(request.body.clone());
        Ok(Prepared {
            events: request.events,
            bytes: body.len() as u64,
            request: Request::post(&*request.path)
                .header(HOST, self.authority)
                .header(CONTENT_TYPE, "application/json")
                .header(USER_AGENT, request.agent)
                .header(AUTHORIZATION, format!("Bearer {key}"))
                .body(Full::new(body))
                .context("a request of the demo's traffic is none")?,
        })
    }
}

/// Returns visits of all platforms, flaws and repeats included, until they hold `events` events.
///
/// # Errors
/// The traffic is no HTTP.
pub(crate) fn visits(to: &Addressee<'_>, seed: u64, events: u64) -> Result<Vec<Prepared>> {
    let mut traffic = Traffic::new(SEED ^ seed, OffsetDateTime::now_utc(), events);
    let mut prepared = Vec::new();
    let mut held = 0;
    while held < events {
        for request in traffic.visit() {
            held += request.events;
            prepared.push(to.prepare(&request)?);
        }
    }
    Ok(prepared)
}

/// Returns `count` requests of the web source with one event each.
///
/// # Errors
/// The traffic is no HTTP.
pub(crate) fn singles(to: &Addressee<'_>, count: usize) -> Result<Vec<Prepared>> {
    let now = OffsetDateTime::now_utc();
    calls(now, count)
        .into_iter()
        .map(|mut call| {
            call["sentAt"] = json!(text(now));
            to.prepare(&request(
                format!("/v1/{}", call["type"].as_str().unwrap_or("track")),
                &call,
                1,
            ))
        })
        .collect()
}

/// Returns `count` requests of the web source with `size` events each.
///
/// # Errors
/// The traffic is no HTTP.
pub(crate) fn batches(to: &Addressee<'_>, count: usize, size: usize) -> Result<Vec<Prepared>> {
    let now = OffsetDateTime::now_utc();
    calls(now, count * size)
        .chunks(size)
        .map(|calls| {
            let body = json!({"batch": calls, "sentAt": text(now)});
            to.prepare(&request("/v1/batch".to_owned(), &body, calls.len()))
        })
        .collect()
}

/// Returns the mean size of the bodies.
pub(crate) fn mean_bytes(requests: &[Prepared]) -> u64 {
    let bytes: u64 = requests.iter().map(|request| request.bytes).sum();
    bytes / (requests.len() as u64).max(1)
}

fn request(path: String, body: &Value, events: usize) -> traffic::Request {
    traffic::Request {
        source: "web",
        path,
        agent: "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
        address: String::new(),
        body: body.to_string(),
        events: events as u64,
    }
}

/// Returns sound calls of visitors of the web site.
fn calls(now: OffsetDateTime, count: usize) -> Vec<Value> {
    let mut traffic = Traffic::new(SEED, now, count as u64);
    let mut calls = Vec::with_capacity(count);
    while calls.len() < count {
        for request in traffic.visit() {
            if request.source != "web" {
                continue;
            }
            let Ok(mut body) = serde_json::from_str::<Value>(&request.body) else {
                continue;
            };
            let visit = match body["batch"].take() {
                Value::Array(batch) => batch,
                _ => vec![body],
            };
            // Flawed ones, which have no library, are for the processor; here every event is to be taken.
            let sound = |call: &Value| call["context"]["library"].is_object();
            calls.extend(visit.into_iter().filter(sound));
        }
    }
    calls.truncate(count);
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singles_and_batches_hold_as_many_events_as_asked_for() {
        let keys = BTreeMap::from([("web".to_owned(), "key".to_owned())]);
        let to = Addressee {
            authority: "127.0.0.1:1",
            keys: &keys,
        };
        let singles = singles(&to, 50).unwrap();
        assert_eq!(singles.len(), 50);
        assert!(
            singles
                .iter()
                .all(|one| one.events == 1 && one.request.uri().path().starts_with("/v1/"))
        );
        let batches = batches(&to, 3, 20).unwrap();
        assert_eq!(
            batches.iter().map(|one| one.events).collect::<Vec<_>>(),
            [20, 20, 20]
        );
        let visits = visits(&to, 1, 500).unwrap();
        assert!(visits.iter().map(|one| one.events).sum::<u64>() >= 500);
    }
}
