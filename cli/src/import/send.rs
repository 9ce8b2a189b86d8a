//! Sends calls to the collector in batches: several under way, retries for a bounded time, halves of
//! what is too large.
//!
//! Sending a batch again is harmless: the ids of its events make the repeats known.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{StatusCode, Uri};
use serde::Deserialize;
use tokio::sync::mpsc;
use weir_common::backoff::Backoff;
use weir_common::config::HumanDuration;

use crate::http::{Answer, Http};

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// A call ready to be sent, with the line it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// Number of the line, from 1.
    pub(crate) number: u64,
    /// The line itself, for the reject file.
    pub(crate) raw: Vec<u8>,
    /// The call as JSON.
    pub(crate) call: Vec<u8>,
}

/// Where to send, and how hard to try.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    http: Http,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    retry_for: Duration,
}

/// What became of some batches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Events the collector keeps.
    pub(crate) events: u64,
    /// Requests it answered.
    pub(crate) requests: u64,
    /// Attempts that had to be repeated.
    pub(crate) retries: u64,
    /// Events it refuses, with its reason.
    pub(crate) refused: Vec<(Prepared, String)>,
}

/// Why sending ended early. What was sent stays sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The collector will never take this request.
    #[error("the collector refused with status {status}: {message}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// What it said, hint included.
        message: String,
    },
    /// The key is good, and not good for an import.
    #[error(
        "the write key is of class `{0}`, and an import needs one of class `server`: others may set neither \
         address nor old times"
    )]
    KeyClass(String),
    /// The collector could not take it for too long.
    #[error("the collector did not take a batch for {}: {last}", HumanDuration(*tried))]
    Unavailable {
        /// How long it was tried.
        tried: Duration,
        /// What happened last.
        last: String,
    },
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.requests += other.requests;
        self.retries += other.retries;
        self.refused.extend(other.refused);
    }
}

impl Sender {
    /// Creates a sender for the collector whose batch route is `uri`, with a write key.
    pub(crate) fn new(uri: Uri, key: HeaderValue, retry_for: Duration) -> Self {
        const WRITE_KEY: HeaderName = HeaderName::from_static("x-write-key");
        let mut key = key;
        key.set_sensitive(true);
        Self {
            http: Http::new(),
            uri,
            headers: vec![
                (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (CONTENT_ENCODING, HeaderValue::from_static("gzip")),
                (WRITE_KEY, key),
            ],
            retry_for,
        }
    }

    /// Sends a batch without events, which shows whether the collector is there, knows the key, and
    /// lets it set what an import sets. A collector that does not tell the key's class is believed.
    ///
    /// # Errors
    /// As [`Sender::send_all`].
    pub(crate) async fn probe(&self) -> Result<(), SendError> {
        const KEY_CLASS: HeaderName = HeaderName::from_static("x-weir-key-class");
        let answer = self.post(&[], &mut 0).await?;
        if !answer.status.is_success() {
            return Err(SendError::Refused {
                status: answer.status,
                message: explain(&answer),
            });
        }
        match answer.headers.get(KEY_CLASS) {
            Some(class) if class != "server" => {
                let class = String::from_utf8_lossy(class.as_bytes());
                Err(SendError::KeyClass(class.into_owned()))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Sends every batch that comes out of `batches`, `parallel` at a time, and reports each to
    /// `progress`.
    ///
    /// # Errors
    /// Ends with the first batch that cannot be sent; others may have been.
    pub(crate) async fn send_all(
        &self,
        batches: mpsc::Receiver<Vec<Prepared>>,
        parallel: usize,
        mut progress: impl FnMut(&Sent),
    ) -> Result<Sent, SendError> {
        let batches = futures_util::stream::unfold(batches, |mut batches| async {
            let batch = batches.recv().await?;
            Some((batch, batches))
        });
        let sending = batches
            .map(|batch| self.send(batch))
            .buffer_unordered(parallel);
        let mut sending = std::pin::pin!(sending);
        let mut total = Sent::default();
        while let Some(sent) = sending.next().await {
            total.add(sent?);
            progress(&total);
        }
        Ok(total)
    }

    async fn send(&self, batch: Vec<Prepared>) -> Result<Sent, SendError> {
        let mut sent = Sent::default();
        let mut waiting = vec![batch];
        while let Some(mut batch) = waiting.pop() {
            let answer = self.post(&batch, &mut sent.retries).await?;
            sent.requests += 1;
            match answer.status {
                status if status.is_success() => sent.events += batch.len() as u64,
                StatusCode::PAYLOAD_TOO_LARGE if batch.len() > 1 => {
                    let rest = batch.split_off(batch.len() / 2);
                    waiting.push(rest);
                    waiting.push(batch);
                }
                StatusCode::PAYLOAD_TOO_LARGE => {
                    let reason = explain(&answer);
                    let refused = batch.into_iter().map(|call| (call, reason.clone()));
                    sent.refused.extend(refused);
                }
                status => {
                    let message = explain(&answer);
                    return Err(SendError::Refused { status, message });
                }
            }
        }
        Ok(sent)
    }

    /// Posts one batch until it gets an answer that another attempt would not change.
    async fn post(&self, batch: &[Prepared], retries: &mut u64) -> Result<Answer, SendError> {
        let body = encode(batch);
        let begun = Instant::now();
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        loop {
            let answer = self.http.post(&self.uri, &self.headers, body.clone()).await;
            let (last, asked) = match answer {
                Ok(answer) if !is_temporary(answer.status) => return Ok(answer),
                Ok(answer) => {
                    let last = format!("status {}: {}", answer.status, explain(&answer));
                    (last, answer.retry_after().unwrap_or_default())
                }
                Err(error) => (error.to_string(), Duration::ZERO),
            };
            let delay = backoff.next_delay().max(asked);
            if begun.elapsed() + delay > self.retry_for {
                let tried = Duration::from_secs(begun.elapsed().as_secs());
                return Err(SendError::Unavailable { tried, last });
            }
            *retries += 1;
            tokio::time::sleep(delay).await;
        }
    }
}

fn is_temporary(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn encode(batch: &[Prepared]) -> Bytes {
    let mut body = b"{\"batch\":[".to_vec();
    for (at, prepared) in batch.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&prepared.call);
    }
    body.extend_from_slice(b"]}");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory cannot fail; if it did, the plain body is as good.
    match encoder.write_all(&body).and_then(|()| encoder.finish()) {
        Ok(packed) => packed.into(),
        Err(_) => body.into(),
    }
}

/// Returns what the collector says about a refusal: its message and hint, or the body's beginning.
fn explain(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
        #[serde(default)]
        hint: String,
    }
    const SHOWN: usize = 200;
    match serde_json::from_slice::<Refusal>(&answer.body) {
        Ok(refusal) if refusal.hint.is_empty() => refusal.message,
        Ok(refusal) => format!("{} ({})", refusal.message, refusal.hint),
        Err(_) => {
            let text = String::from_utf8_lossy(&answer.body);
            text.trim().chars().take(SHOWN).collect()
        }
    }
}

#[cfg(test)]
mod tests;
