//! Sends traffic to the collector as SDKs do: several at once, again after a 503 or a lost connection.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::StatusCode;
use weir_stack::{Description, progress};

use super::traffic::{Request, Traffic};

/// Clients that send at the same time.
const CLIENTS: usize = 16;
/// How often a request is sent before its client gives up, and the pause in between.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);
/// Time between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// What the collector said to everything that was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Requests, without repeats after a 503 or a lost connection.
    pub(crate) requests: u64,
    /// Records of requests answered 200.
    pub(crate) accepted: u64,
    /// Requests refused as a whole, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Requests whose client gave up.
    pub(crate) lost: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

/// When to stop sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// After so many events.
    pub(crate) events: u64,
    /// After this time, if earlier.
    pub(crate) within: Option<Duration>,
}

#[derive(Debug)]
struct Shared {
    client: reqwest::Client,
    ingest: String,
    keys: BTreeMap<String, String>,
    goal: Goal,
    started: Instant,
    /// Events given to clients.
    begun: AtomicU64,
    /// Events whose request was answered.
    done: AtomicU64,
    stop: AtomicBool,
    tally: Mutex<Tally>,
}

/// Sends until the goal is reached; `None` if a signal came.
///
/// # Errors
/// No client can be made.
pub(crate) fn send(
    traffic: Traffic,
    description: &Description,
    goal: Goal,
    signals: &Receiver<()>,
) -> Result<Option<Tally>> {
    let shared = Arc::new(Shared {
        client: reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()?,
        ingest: description.ingest.clone(),
        keys: description.write_keys.clone(),
        goal,
        started: Instant::now(),
        begun: AtomicU64::new(0),
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        tally: Mutex::default(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the clients")?;
    let traffic = Arc::new(Mutex::new(traffic));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| runtime.spawn(play(Arc::clone(&shared), Arc::clone(&traffic))))
        .collect();
    let bar = Progress::new("sent", goal.events);
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        if signals.recv_timeout(Duration::from_millis(100)).is_ok() {
            shared.stop.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        bar.at(shared.done.load(Ordering::Relaxed));
    }
    bar.end();
    let mut tally = shared.tally().clone();
    tally.took = shared.started.elapsed();
    Ok(Some(tally))
}

async fn play(shared: Arc<Shared>, traffic: Arc<Mutex<Traffic>>) {
    while shared.goes_on() {
        let visit = traffic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .visit();
        let events: u64 = visit.iter().map(|request| request.events).sum();
        shared.begun.fetch_add(events, Ordering::Relaxed);
        for request in visit {
            shared.deliver(&request).await;
        }
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        let late = self
            .goal
            .within
            .is_some_and(|within| self.started.elapsed() >= within);
        let enough = self.begun.load(Ordering::Relaxed) >= self.goal.events;
        !late && !enough && !self.stop.load(Ordering::Relaxed)
    }

    async fn deliver(&self, request: &Request) {
        let mut answer = None;
        for _ in 0..TRIES {
            answer = self.post(request).await;
            let again = answer.is_none_or(|status| status == StatusCode::SERVICE_UNAVAILABLE);
            if !again || self.stop.load(Ordering::Relaxed) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.done.fetch_add(request.events, Ordering::Relaxed);
        let mut tally = self.tally();
        tally.requests += 1;
        match answer {
            Some(StatusCode::OK) => tally.accepted += request.events,
            Some(status) => *tally.refused.entry(status.as_u16()).or_default() += 1,
            None => tally.lost += 1,
        }
    }

    /// Returns the status; `None` if nobody answered.
    async fn post(&self, request: &Request) -> Option<StatusCode> {
        let key = self
            .keys
            .get(request.source)
            .map_or(request.source, String::as_str);
        let answer = self
            .client
            .post(format!("{}{}", self.ingest, request.path))
            .basic_auth(key, Some(""))
            .header("content-type", "application/json")
            .header("user-agent", request.agent)
            .header("x-forwarded-for", &request.address)
            .body(request.body.clone())
            .send()
            .await
            .ok()?;
        let status = answer.status();
        // Read to its end, or the connection is not used again.
        answer.bytes().await.ok()?;
        Some(status)
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bar on a terminal, else a line every 2 s.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    bar: Option<ProgressBar>,
    printed: Mutex<(Instant, u64)>,
}

impl Progress {
    /// Begins at 0 of `total` events.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let style = ProgressStyle::with_template(
            "{msg:>7} [{bar:40}] {human_pos}/{human_len} events  {per_sec}  {eta}",
        );
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total).with_message(what);
            if let Ok(style) = style {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        });
        Self {
            what,
            total,
            bar,
            printed: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Shows that so many are done.
    pub(crate) fn at(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done.min(self.total));
            return;
        }
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        if printed.0.elapsed() >= LINE_EVERY && done != printed.1 {
            *printed = (Instant::now(), done);
            progress::line(&format!("{} {done} of {} events", self.what, self.total));
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
