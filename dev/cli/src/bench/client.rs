//! The load generator: many connections on one thread, which sends prepared requests and reads each answer to its end.
//!
//! One thread only, whatever is measured: both sides of a comparison meet the same client, and it never takes more than one
//! core from them. Its own CPU time is part of the outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::meter;
use super::requests::Prepared;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What to send, and how.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// `host:port` of the server.
    pub(crate) authority: String,
    /// The requests, in this order.
    pub(crate) requests: Arc<Vec<Prepared>>,
    /// How many are under way at a time.
    pub(crate) connections: usize,
    /// Requests a second; `None` is as many as are answered.
    pub(crate) rate: Option<f64>,
}

/// When to count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// What is answered before is not counted.
    pub(crate) warm_up: Duration,
    /// What is answered afterwards for this long is.
    pub(crate) measure: Duration,
}

/// What was answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Requests answered 200.
    pub(crate) requests: u64,
    /// Their events.
    pub(crate) events: u64,
    /// Times from request to answer, in microseconds; at a given rate, from the moment the request was due.
    pub(crate) micros: Vec<u32>,
    /// Other answers, by status.
    pub(crate) refused: BTreeMap<u16, u64>,
}

/// A tally over a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What was answered.
    pub(crate) tally: Tally,
    /// The window's real length.
    pub(crate) took: Duration,
    /// CPU time of the generator's thread.
    pub(crate) generator_cpu: Duration,
}

struct Shared {
    load: Load,
    /// Each request once, instead of again and again.
    once: bool,
    next: AtomicUsize,
    counting: AtomicBool,
    ended: AtomicBool,
    started: Instant,
}

/// Sends the requests again and again. `begin` is called when the counting begins, `end` when it ends.
///
/// # Errors
/// The server goes away, or refuses more than one request in a hundred; or what `begin` and `end` return.
pub(crate) fn measure<T>(
    load: Load,
    window: Window,
    begin: impl FnOnce() -> Result<T>,
    end: impl FnOnce(T) -> Result<()>,
) -> Result<Outcome> {
    let outcome = runtime()?.block_on(async {
        let shared = Shared::new(load, false);
        let players = players(&shared).await?;
        tokio::time::sleep(window.warm_up).await;
        let (begun, cpu, state) = (Instant::now(), meter::thread_cpu()?, begin()?);
        shared.counting.store(true, Ordering::Relaxed);
        tokio::time::sleep(window.measure).await;
        shared.counting.store(false, Ordering::Relaxed);
        let took = begun.elapsed();
        let generator_cpu = meter::thread_cpu()?.saturating_sub(cpu);
        end(state)?;
        shared.ended.store(true, Ordering::Relaxed);
        anyhow::Ok(Outcome {
            tally: collect(players).await?,
            took,
            generator_cpu,
        })
    })?;
    let refused: u64 = outcome.tally.refused.values().sum();
    if refused * 100 > outcome.tally.requests {
        bail!(
            "{refused} requests were refused and {} answered 200; statuses: {:?}",
            outcome.tally.requests,
            outcome.tally.refused
        );
    }
    Ok(outcome)
}

/// Sends every request once, counting all.
///
/// # Errors
/// The server goes away.
pub(crate) fn deliver(load: Load) -> Result<Tally> {
    runtime()?.block_on(async {
        let shared = Shared::new(load, true);
        shared.counting.store(true, Ordering::Relaxed);
        collect(players(&shared).await?).await
    })
}

type Player = tokio::task::JoinHandle<Result<Tally>>;

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the load generator")
}

async fn players(shared: &Arc<Shared>) -> Result<Vec<Player>> {
    let mut connections = Vec::new();
    for _ in 0..shared.load.connections {
        connections.push(connect(&shared.load.authority).await?);
    }
    Ok(connections
        .into_iter()
        .map(|connection| tokio::spawn(play(Arc::clone(shared), connection)))
        .collect())
}

async fn collect(players: Vec<Player>) -> Result<Tally> {
    let mut all = Tally::default();
    for player in players {
        let tally = player
            .await
            .context("a connection of the load panicked")??;
        all.requests += tally.requests;
        all.events += tally.events;
        all.micros.extend(tally.micros);
        for (status, count) in tally.refused {
            *all.refused.entry(status).or_default() += count;
        }
    }
    Ok(all)
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(authority)
        .await
        .with_context(|| format!("cannot connect to {authority}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with its sender; what breaks it is seen there.
    tokio::spawn(connection);
    Ok(sender)
}

async fn play(shared: Arc<Shared>, mut connection: SendRequest<Full<Bytes>>) -> Result<Tally> {
    let mut tally = Tally::default();
    while let Some((prepared, due)) = shared.turn().await {
        let exchange = async {
            connection.ready().await?;
            let answer = connection.send_request(prepared.request.clone()).await?;
            let status = answer.status().as_u16();
            answer.into_body().collect().await?;
            Ok::<_, hyper::Error>(status)
        };
        let status = tokio::time::timeout(ANSWER_WITHIN, exchange)
            .await
            .with_context(|| format!("no answer within {ANSWER_WITHIN:?}"))?
            .context("a connection broke under the load")?;
        if !shared.counting.load(Ordering::Relaxed) {
            continue;
        }
        if status == 200 {
            tally.requests += 1;
            tally.events += prepared.events;
            let micros = due.elapsed().as_micros();
            tally.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
        } else {
            *tally.refused.entry(status).or_default() += 1;
        }
    }
    Ok(tally)
}

impl Shared {
    fn new(load: Load, once: bool) -> Arc<Self> {
        Arc::new(Self {
            load,
            once,
            next: AtomicUsize::new(0),
            counting: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            started: Instant::now(),
        })
    }

    /// Waits for the next request's time; `None` when there are no more.
    async fn turn(&self) -> Option<(&Prepared, Instant)> {
        let requests = &self.load.requests;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if requests.is_empty() || (self.once && number >= requests.len()) {
            return None;
        }
        let due = match self.load.rate {
            None => Instant::now(),
            Some(rate) => {
                let due = self.started + Duration::from_secs_f64(number as f64 / rate);
                if due <= Instant::now() {
                    // No connection was free in time: the wait for one is the server's.
                    due
                } else {
                    tokio::time::sleep_until(due).await;
                    // A late timer is not.
                    Instant::now()
                }
            }
        };
        if self.ended.load(Ordering::Relaxed) {
            return None;
        }
        Some((&requests[number % requests.len()], due))
    }
}
