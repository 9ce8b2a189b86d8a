//! The work of one request: key, body, events, records, acknowledgement.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use ipnet::IpNet;
use tokio::sync::Semaphore;
use uuid::Uuid;
use weir_common::time::now_ms;
use weir_event::KeyClass;

use crate::address;
use crate::auth;
use crate::budget::{Budget, Exhausted, Reservation};
use crate::config::{IngestConfig, RECORD_OVERHEAD_BYTES};
use crate::error::Refusal;
use crate::metrics::IngestMetrics;
use crate::payload::{self, BodyLimits};
use crate::sink::{Record, Sink, SinkError};
use crate::sources::{Access, Platform, Sources};
use crate::split::{self, Route, SplitLimits};
use crate::stamp::{self, Place, Stamper};
use crate::visitor::VisitorSecret;

/// After how many events of one batch other requests get their turn.
const EVENTS_PER_TURN: usize = 64;

/// Largest value that a record can have without being too large by itself: a rejection with its payload escaped.
/// Smaller records that were refused for size had a neighbour that was too large.
const SMALL_RECORD_BYTES: usize = 20 << 10;

/// Longest time for the body of a request whose head shows no key: who cannot be told from a stranger holds
/// memory for as long as a client on an ordinary line needs, and no longer.
const KEYLESS_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Which share of the memory such requests may hold together.
const KEYLESS_SHARE: usize = 4;

/// How often records that Kafka finds too large are sent anew.
const SIZE_ROUNDS: usize = 3;

/// The address of a request's socket, put into its extensions by the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Collector<S> {
    pub(crate) sink: Arc<S>,
    pub(crate) metrics: IngestMetrics,
    sources: Sources,
    secret: VisitorSecret,
    trusted_proxies: Vec<IpNet>,
    budget: Budget,
    /// The part of the budget for requests that no key speaks for yet.
    keyless: Budget,
    slots: Semaphore,
    body: BodyLimits,
    split: SplitLimits,
    max_event_bytes: usize,
}

/// How many events of a request ended how.
#[derive(Debug, Default)]
struct Outcomes {
    accepted: usize,
    /// By code; a request seldom has two kinds.
    rejected: Vec<(&'static str, usize)>,
}

impl Outcomes {
    fn reject(&mut self, code: &'static str) {
        match self
            .rejected
            .iter_mut()
            .find(|(counted, _)| *counted == code)
        {
            Some((_, events)) => *events += 1,
            None => self.rejected.push((code, 1)),
        }
    }

    fn count(&self, platform: Platform, metrics: &IngestMetrics) {
        metrics.events(platform, "accepted", self.accepted);
        for (code, events) in &self.rejected {
            metrics.events(platform, code, *events);
        }
    }
}

impl<S: Sink> Collector<S> {
    /// Creates the collector; `config` was checked.
    pub(crate) fn new(
        config: &IngestConfig,
        sources: Sources,
        secret: VisitorSecret,
        sink: Arc<S>,
        metrics: IngestMetrics,
    ) -> Collector<S> {
        let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        let decoded = bytes(config.max_decoded_bytes.0);
        let encoded = bytes(config.max_encoded_bytes.0);
        let buffered = bytes(config.max_buffered_bytes.0);
        let budget = Budget::new(buffered);
        // At least one request of the largest size fits.
        let largest = encoded.saturating_add(decoded).saturating_add(1);
        Collector {
            sink,
            metrics,
            sources,
            secret,
            trusted_proxies: config.trusted_proxies.clone(),
            keyless: budget.part(largest.max(buffered / KEYLESS_SHARE)),
            budget,
            slots: Semaphore::new(config.max_requests),
            body: BodyLimits {
                encoded,
                decoded,
                timeout: config.read_timeout.0,
            },
            split: SplitLimits {
                events: config.max_batch_events,
                bytes: decoded,
            },
            max_event_bytes: bytes(config.max_event_bytes.0),
        }
    }

    /// Keeps the events of one request; returns the class of its key.
    ///
    /// # Errors
    ///
    /// The refusal; then the sender must take all of its events as not kept.
    pub(crate) async fn take(
        &self,
        head: &Parts,
        body: &mut Body,
        route: Route,
    ) -> Result<KeyClass, Refusal> {
        payload::check_head(&head.headers, &self.body)?;
        let mut key = auth::key_in_head(&head.headers, &head.uri)?;
        let (mut limits, mut budget) = (self.body, &self.budget);
        if key.is_some() {
            self.access(key.as_deref())?;
        } else {
            limits.timeout = limits.timeout.min(KEYLESS_BODY_TIMEOUT);
            budget = &self.keyless;
        }
        let declared = payload::declared_length(&head.headers).unwrap_or(0);
        if self.slots.available_permits() == 0 || !budget.has_room(declared) {
            return Err(Refusal::Overloaded);
        }
        let mut held = budget.reservation();
        let bytes = payload::read(body, &limits, &mut held).await?;
        self.metrics.request_size_bytes.observe(bytes.len() as f64);
        // Only now: a slow body must not keep others out.
        let _slot = self.slots.try_acquire().map_err(|_| Refusal::Overloaded)?;

        let split = split::split(&bytes, route, self.split)?;
        if let Some(further) = &split.write_key {
            auth::agree(&mut key, further.to_string())?;
        }
        let access = self.access(key.as_deref())?;
        held.leave_part();
        let stamper = Stamper {
            source: &access.source,
            class: access.class,
            key: key.as_deref().unwrap_or_default(),
            secret: &self.secret,
            received_at_ms: now_ms(),
            client: self.client(head),
            agent: agent(&head.headers),
            route,
            sent_at: split.sent_at.as_deref(),
            inherited: &split.inherited,
            max_event_bytes: self.max_event_bytes,
            fresh_id: Uuid::now_v7,
        };
        let (records, mut outcomes) = records(&stamper, &split.events, &mut held).await?;
        drop(bytes);
        self.send(records, held, &mut outcomes).await?;
        outcomes.count(access.source.platform, &self.metrics);
        Ok(access.class)
    }

    /// Returns the bytes of requests under way.
    pub(crate) fn buffered_bytes(&self) -> i64 {
        i64::try_from(self.budget.used()).unwrap_or(i64::MAX)
    }

    /// Returns what the key stands for, if its events have a chance to be kept.
    fn access(&self, key: Option<&str>) -> Result<&Access, Refusal> {
        let access = auth::check(key, &self.sources)?;
        self.sink
            .check(access.source.platform.topic())
            .map_err(refusal)?;
        Ok(access)
    }

    fn client(&self, head: &Parts) -> IpAddr {
        let peer = head.extensions.get::<Peer>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
        address::client(peer, &head.headers, &self.trusted_proxies)
    }

    async fn send(
        &self,
        mut records: Vec<Record>,
        held: Reservation,
        outcomes: &mut Outcomes,
    ) -> Result<(), Refusal> {
        let held = Arc::new(held);
        for _ in 0..SIZE_ROUNDS {
            if records.is_empty() {
                return Ok(());
            }
            let too_large = self
                .sink
                .send(records, Arc::clone(&held))
                .await
                .map_err(refusal)?;
            records = too_large
                .into_iter()
                .map(|record| smaller(record, outcomes))
                .collect();
        }
        if records.is_empty() {
            return Ok(());
        }
        let reason = "Kafka takes no records of the size that rejected events have";
        tracing::error!("{reason}; raise the topic's max.message.bytes");
        Err(Refusal::KafkaUnavailable(reason.to_owned()))
    }
}

/// Returns what is sent in place of a record that Kafka refused for its size.
fn smaller(record: Record, outcomes: &mut Outcomes) -> Record {
    if record.value.len() <= SMALL_RECORD_BYTES {
        return record;
    }
    match stamp::reject_too_large(&record) {
        Some(rejection) => {
            outcomes.accepted -= 1;
            outcomes.reject("too_large");
            rejection
        }
        None => record,
    }
}

async fn records(
    stamper: &Stamper<'_>,
    events: &[&[u8]],
    held: &mut Reservation,
) -> Result<(Vec<Record>, Outcomes), Refusal> {
    let mut records = Vec::with_capacity(events.len());
    let mut outcomes = Outcomes::default();
    for (index, event) in events.iter().enumerate() {
        let place = match stamper.route {
            Route::One(_) => Place::Body,
            Route::Batch => Place::Batch(index),
        };
        let stamped = stamper.stamp(event, place).map_err(|error| {
            tracing::error!(%error, "an event got no envelope");
            Refusal::Internal
        })?;
        match stamped.rejected {
            None => outcomes.accepted += 1,
            Some(code) => outcomes.reject(code.as_str()),
        }
        let overhead = usize::try_from(RECORD_OVERHEAD_BYTES).unwrap_or(usize::MAX);
        held.grow(stamped.record.value.len() + overhead)
            .map_err(|Exhausted| Refusal::Overloaded)?;
        records.push(stamped.record);
        if index % EVENTS_PER_TURN == EVENTS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    Ok((records, outcomes))
}

fn agent(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::USER_AGENT)
        .map_or(&[][..], |value| value.as_bytes());
    // What is no UTF-8 is cut off: it tells nobody anything.
    match std::str::from_utf8(value) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&value[..error.valid_up_to()]).unwrap_or_default(),
    }
}

fn refusal(error: SinkError) -> Refusal {
    match error {
        SinkError::Full => Refusal::Overloaded,
        SinkError::Unavailable(reason) => Refusal::KafkaUnavailable(reason),
    }
}
