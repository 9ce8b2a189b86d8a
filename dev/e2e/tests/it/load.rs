//! A client that keeps sending, remembers what was acknowledged, and repeats what was not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use weir_stack::http;
use weir_stack::{Stack, wait};

use crate::support;

const BATCH: u64 = 20;

/// What a load has sent so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// Ids of events that were answered 2xx.
    pub(crate) acknowledged: BTreeSet<String>,
    /// Batches that had to be sent again.
    pub(crate) repeated: u64,
}

/// A running load; [`Load::finish`] ends it.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<Mutex<Sent>>,
    thread: JoinHandle<Result<()>>,
}

impl Load {
    /// Starts to send batches of 20 to the collector, with orders whose totals go from 0 to 99: two schema sets may
    /// judge them differently, and one in ten is judged invalid by any.
    pub(crate) fn start(stack: &Stack, name: &str, pause: Duration) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(Mutex::new(Sent::default()));
        let url = format!("{}/v1/batch", stack.ingest_url()?);
        let key = stack.write_key("web")?.to_owned();
        let (name, stopped, shared) = (name.to_owned(), Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let mut batch = 0;
            while !stopped.load(Ordering::Relaxed) {
                let ids: Vec<String> = (0..BATCH)
                    .map(|n| format!("{name}-{}", batch * BATCH + n))
                    .collect();
                let calls: Vec<Value> = ids.iter().enumerate().map(call).collect();
                let body = json!({ "batch": calls }).to_string();
                send(&url, &key, &body, &stopped, &shared)?;
                let mut sent = shared.lock().unwrap_or_else(PoisonError::into_inner);
                sent.acknowledged.extend(ids);
                drop(sent);
                batch += 1;
                std::thread::park_timeout(pause);
            }
            Ok(())
        });
        Ok(Self { stop, sent, thread })
    }

    /// Returns how many events are acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.acknowledged.len()
    }

    /// Waits until so many more events are acknowledged.
    pub(crate) fn await_more(&self, events: usize) -> Result<()> {
        let target = self.acknowledged() + events;
        wait::until("the load to be acknowledged", support::PATIENCE, || {
            let seen = self.acknowledged();
            wait::Check::that(seen >= target, format!("{seen} of {target}"))
        })
    }

    /// Ends the load and returns what it sent.
    pub(crate) fn finish(self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow!("the load panicked"))??;
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(sent.clone())
    }
}

fn call((n, id): (usize, &String)) -> Value {
    let total = if n % 10 == 3 { json!(-1) } else { json!(n * 5) };
    json!({
        "type": "track", "event": "Order Completed", "messageId": id,
        "anonymousId": format!("visitor-{}", n % 5),
        "properties": { "order_id": id, "total": total, "currency": "EUR" },
    })
}

/// Sends one batch until it is taken: what was not acknowledged is repeated as it was. Gives up only when the load ends
/// and the collector is away.
fn send(url: &str, key: &str, body: &str, stopped: &AtomicBool, sent: &Mutex<Sent>) -> Result<()> {
    let headers = [("content-type", "application/json"), ("x-write-key", key)];
    wait::until("a batch to be taken", support::PATIENCE, || {
        match http::post(url, &headers, body) {
            Ok(answer) if answer.status == 200 => return wait::Check::Done(()),
            Ok(answer) if answer.status == 503 => {}
            Ok(answer) => {
                return wait::Check::GiveUp(anyhow!("{}: {}", answer.status, answer.body));
            }
            Err(error) if stopped.load(Ordering::Relaxed) => return wait::Check::GiveUp(error),
            Err(_) => {}
        }
        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.repeated += 1;
        wait::Check::NotYet("not taken".to_owned())
    })
}

/// Everything acknowledged is stored or failed, nothing is stored twice, and the ledger, the tables and the rollups agree.
pub(crate) fn check(stack: &Stack, sent: &Sent) -> Result<()> {
    support::settle_and_verify(stack)?;
    support::nothing_is_twice(stack)?;
    let stored: BTreeSet<String> = support::stored_ids(stack)?.into_iter().collect();
    let missing: Vec<&String> = sent.acknowledged.difference(&stored).collect();
    ensure!(
        missing.is_empty(),
        "{} of {} acknowledged events are in no table, such as {:?}",
        missing.len(),
        sent.acknowledged.len(),
        missing.first()
    );
    // Sent = stored + failed + duplicates: every record is one row of one table.
    let rows = support::number(
        stack,
        "SELECT (SELECT count() FROM events) + (SELECT count() FROM failed_events)",
    )?;
    let records = support::records_in_kafka(stack)?;
    ensure!(rows == records, "{rows} rows of {records} records");
    println!(
        "{} events acknowledged, {} batches repeated, {rows} rows",
        sent.acknowledged.len(),
        sent.repeated
    );
    Ok(())
}
