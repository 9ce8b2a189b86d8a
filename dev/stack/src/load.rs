//! A client that keeps sending, remembers what was acknowledged, and repeats what was not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::wait::{self, Check};
use crate::{Stack, binaries, http};

/// Events in one request.
const BATCH: u64 = 20;
/// One batch of so many is sent again although it was acknowledged, as by a client that missed the answer.
const REPEAT_EVERY: u64 = 10;
/// How long a batch may be refused, as long as the load goes on.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a load has sent so far.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Ids of events that were answered 200.
    pub acknowledged: BTreeSet<String>,
    /// Batches that were sent again, because nobody answered or the answer was 503.
    pub repeated: u64,
}

impl Sent {
    /// Adds what another load sent.
    pub fn merge(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.repeated += other.repeated;
    }
}

/// A running load; [`Load::finish`] ends it.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<Mutex<Sent>>,
    thread: JoinHandle<Result<()>>,
}

impl Load {
    /// Starts to send batches of 20 with a source's key, with `pause` between one's answer and the next: page views, and
    /// orders whose totals go from 0 to 99, so that two schema sets may judge them differently, and one event in ten is
    /// judged invalid by any; one batch in ten is sent twice. Ids begin with `name` and a dash.
    ///
    /// # Errors
    /// The stack has no collector or no such source.
    pub fn start(stack: &Stack, name: &str, source: &str, pause: Duration) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(Mutex::new(Sent::default()));
        let sender = Sender {
            url: format!("{}/v1/batch", stack.ingest_url()?),
            key: stack.write_key(source)?.to_owned(),
            name: name.to_owned(),
            pause,
            stop: Arc::clone(&stop),
            sent: Arc::clone(&sent),
        };
        let thread = std::thread::spawn(move || sender.run());
        Ok(Self { stop, sent, thread })
    }

    /// Returns how many events are acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        lock(&self.sent).acknowledged.len()
    }

    /// Waits until so many more events are acknowledged.
    ///
    /// # Errors
    /// They are not within the time, or the load ended by an answer it did not expect.
    pub fn await_more(&self, events: usize, within: Duration) -> Result<()> {
        let target = self.acknowledged() + events;
        wait::until("the load to be acknowledged", within, || {
            let seen = self.acknowledged();
            if seen < target && self.thread.is_finished() {
                return Check::GiveUp(anyhow!("the load ended after {seen} of {target} events"));
            }
            Check::that(seen >= target, format!("{seen} of {target}"))
        })
    }

    /// Ends the load and returns what it sent. The last batch still has to be taken.
    ///
    /// # Errors
    /// The collector was away at the end, or gave an answer that was not expected.
    pub fn finish(self) -> Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread
            .join()
            .map_err(|_| anyhow!("the load panicked"))??;
        Ok(lock(&self.sent).clone())
    }
}

struct Sender {
    url: String,
    key: String,
    name: String,
    pause: Duration,
    stop: Arc<AtomicBool>,
    sent: Arc<Mutex<Sent>>,
}

impl Sender {
    fn run(&self) -> Result<()> {
        let mut batch = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let ids: Vec<String> = (0..BATCH)
                .map(|n| format!("{}-{}", self.name, batch * BATCH + n))
                .collect();
            let calls: Vec<Value> = (0..).zip(&ids).map(|(n, id)| call(n, id)).collect();
            let body = json!({ "batch": calls }).to_string();
            self.deliver(&body)?;
            lock(&self.sent).acknowledged.extend(ids);
            if batch % REPEAT_EVERY == REPEAT_EVERY - 1 {
                self.deliver(&body)?;
            }
            batch += 1;
            std::thread::park_timeout(self.pause);
        }
        Ok(())
    }

    /// Sends one batch until it is taken: what was not acknowledged is repeated as it was. Gives up early only when the
    /// load ends and the collector is away.
    fn deliver(&self, body: &str) -> Result<()> {
        let headers = [
            ("content-type", "application/json"),
            ("x-write-key", &self.key),
        ];
        wait::until("a batch to be taken", PATIENCE, || {
            match http::post(&self.url, &headers, body) {
                Ok(answer) if answer.status == 200 => return Check::Done(()),
                Ok(answer) if answer.status == 503 => {}
                Ok(answer) => return Check::GiveUp(anyhow!("{}: {}", answer.status, answer.body)),
                Err(error) if self.stop.load(Ordering::Relaxed) => return Check::GiveUp(error),
                Err(_) => {}
            }
            lock(&self.sent).repeated += 1;
            Check::NotYet("not taken".to_owned())
        })
    }
}

fn call(n: u64, id: &str) -> Value {
    let visitor = format!("visitor-{}", n % 5);
    if n % 4 == 1 {
        return json!({
            "type": "page", "messageId": id, "anonymousId": visitor,
            "properties": { "url": format!("https://shop.example/{}", n / 4) },
        });
    }
    let total = if n % 10 == 8 { json!(-1) } else { json!(n * 5) };
    json!({
        "type": "track", "event": "Order Completed", "messageId": id, "anonymousId": visitor,
        "properties": { "order_id": id, "total": total, "currency": "EUR" },
    })
}

/// Copies the workspace's schemas into `directory`, with an order's total bounded by `maximum`: two such sets judge a
/// load's orders differently.
///
/// # Errors
/// A file cannot be read or written.
pub fn schemas_with_total_up_to(directory: &Path, maximum: u32) -> Result<PathBuf> {
    let set = directory.join(format!("schemas-{maximum}"));
    copy(&binaries::workspace().join("schemas"), &set)?;
    let file = set.join("events/order_completed/1-0-0.json");
    let mut schema: Value = serde_json::from_slice(&fs::read(&file)?)?;
    *schema
        .pointer_mut("/properties/properties/properties/total")
        .and_then(|total| total.get_mut("maximum"))
        .context("the schema of order_completed bounds no total")? = json!(maximum);
    fs::write(&file, schema.to_string())?;
    Ok(set)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn lock(sent: &Mutex<Sent>) -> MutexGuard<'_, Sent> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_bounds_the_total_and_keeps_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        let set = schemas_with_total_up_to(directory.path(), 40).unwrap();
        let text = fs::read_to_string(set.join("events/order_completed/1-0-0.json")).unwrap();
        assert!(text.contains("\"maximum\":40"), "{text}");
        assert!(set.join("topics.json").exists());
    }

    #[test]
    fn a_batch_holds_pages_valid_orders_and_invalid_ones() {
        let calls: Vec<Value> = (0..BATCH).map(|n| call(n, "id")).collect();
        let pages = calls.iter().filter(|call| call["type"] == "page").count();
        let invalid = calls
            .iter()
            .filter(|call| call["properties"]["total"] == -1)
            .count();
        assert_eq!((pages, invalid), (5, 2));
    }
}
