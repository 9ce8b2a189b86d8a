//! Importing access logs: parse, turn into calls, send, and remember what was imported.

mod access_log;
mod call;
mod input;
mod progress;
mod rejects;
mod send;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use tokio::sync::mpsc;

pub(crate) use input::Input;
pub(crate) use rejects::Rejects;
pub(crate) use send::{SendError, Sender};

use access_log::Line;
use input::{Lines, MAX_LINE_BYTES, RawLine};
use progress::Progress;
use send::{Prepared, Sent};

/// Most events in a request, and most bytes of their calls.
const BATCH_MAX_EVENTS: usize = 500;
const BATCH_MAX_BYTES: usize = 512 * 1024;

/// What a content holds, found by reading it once without sending anything.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    /// blake3 of the uncompressed content, in hex.
    pub(crate) digest: String,
    /// All lines.
    pub(crate) lines: u64,
    /// Lines with nothing on them.
    pub(crate) blank: u64,
    /// Lines that make a `page` event.
    pub(crate) pages: u64,
    /// Lines that make a `track` event `http_request`.
    pub(crate) requests: u64,
    /// Lines that make no event.
    pub(crate) rejected: u64,
}

impl Scan {
    /// Returns how many events the content makes.
    pub(crate) fn events(&self) -> u64 {
        self.pages + self.requests
    }
}

enum Read {
    Blank,
    Reject(String),
    Line(Line),
}

fn read_line(raw: &RawLine<'_>) -> Read {
    if raw.cut {
        return Read::Reject(format!("the line is longer than {MAX_LINE_BYTES} bytes"));
    }
    if raw.bytes.trim_ascii().is_empty() {
        return Read::Blank;
    }
    match access_log::parse(raw.bytes) {
        Ok(line) => Read::Line(line),
        Err(reject) => Read::Reject(reject.to_string()),
    }
}

/// Reads a content from beginning to end and counts.
///
/// # Errors
/// Fails if it cannot be read.
pub(crate) fn scan(input: &Input) -> Result<Scan> {
    let mut lines = input.lines()?;
    let mut scan = Scan::default();
    while let Some(raw) = next(input, &mut lines)? {
        scan.lines += 1;
        match read_line(&raw) {
            Read::Blank => scan.blank += 1,
            Read::Reject(_) => scan.rejected += 1,
            Read::Line(line) if call::is_page_view(&line) => scan.pages += 1,
            Read::Line(_) => scan.requests += 1,
        }
    }
    scan.digest = lines.digest();
    Ok(scan)
}

fn next<'a>(input: &Input, lines: &'a mut Lines) -> Result<Option<RawLine<'a>>> {
    lines
        .next()
        .with_context(|| format!("cannot read {}", input.name))
}

/// How to send a content.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where to.
    pub(crate) sender: Sender,
    /// Requests under way at a time.
    pub(crate) parallel: usize,
    /// Scheme and host that paths belong to.
    pub(crate) site: Option<String>,
}

/// What was sent of a content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// Events the collector keeps.
    pub(crate) events: u64,
    /// Requests it answered.
    pub(crate) requests: u64,
    /// Attempts that had to be repeated.
    pub(crate) retries: u64,
    /// Lines that went to the reject file: unreadable ones, and those the collector refused.
    pub(crate) rejected: u64,
}

/// Reads a content and sends it, with a progress bar over `events`; lines that make no event go to
/// `rejects`.
///
/// # Errors
/// Ends with the first batch that cannot be sent, or if input or reject file fail. What was sent
/// stays sent; doing it again is harmless while the ids are remembered.
pub(crate) async fn send(
    input: Input,
    events: u64,
    plan: &Plan,
    rejects: Rejects,
) -> (Rejects, Result<Imported>) {
    let before = rejects.count();
    let name = input.name.clone();
    let (batches, receiver) = mpsc::channel(plan.parallel);
    let site = plan.site.clone();
    let producer = tokio::task::spawn_blocking(move || {
        let mut rejects = rejects;
        let produced = produce(&input, site.as_deref(), &batches, &mut rejects);
        (rejects, produced)
    });
    let progress = Progress::over(events, &name);
    let sent = plan
        .sender
        .send_all(receiver, plan.parallel, |sent| {
            progress.show(sent.events, sent.retries)
        })
        .await;
    progress.finish();
    // The producer ends when the receiver is gone.
    let (mut rejects, produced) = match producer.await {
        Ok(ended) => ended,
        Err(panic) => {
            let error = anyhow!(panic).context("reading the log failed");
            return (Rejects::new(PathBuf::new()), Err(error));
        }
    };
    let imported = sent.map_err(anyhow::Error::from).and_then(|sent| {
        produced?;
        add_refused(&name, &sent, &mut rejects)?;
        rejects.flush()?;
        Ok(Imported {
            events: sent.events,
            requests: sent.requests,
            retries: sent.retries,
            rejected: rejects.count() - before,
        })
    });
    (rejects, imported)
}

fn add_refused(name: &str, sent: &Sent, rejects: &mut Rejects) -> Result<()> {
    for (call, reason) in &sent.refused {
        let reason = format!("the collector refuses it: {reason}");
        rejects.add(name, call.number, &reason, &call.raw)?;
    }
    Ok(())
}

/// Cuts the content into batches until its end, or until nobody takes them any more.
fn produce(
    input: &Input,
    site: Option<&str>,
    batches: &mpsc::Sender<Vec<Prepared>>,
    rejects: &mut Rejects,
) -> Result<()> {
    let mut lines = input.lines()?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(raw) = next(input, &mut lines)? {
        let line = match read_line(&raw) {
            Read::Blank => continue,
            Read::Reject(reason) => {
                rejects.add(&input.name, raw.number, &reason, raw.bytes)?;
                continue;
            }
            Read::Line(line) => line,
        };
        let call = call::build(raw.bytes, raw.number, &line, site);
        bytes += call.len();
        batch.push(Prepared {
            number: raw.number,
            raw: raw.bytes.to_vec(),
            call,
        });
        if batch.len() >= BATCH_MAX_EVENTS || bytes >= BATCH_MAX_BYTES {
            bytes = 0;
            if batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                return Ok(());
            }
        }
    }
    if !batch.is_empty() {
        // Whoever closed the channel has the reason.
        drop(batches.blocking_send(batch));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_scan_counts_what_will_be_sent_and_rejected() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let page = r#"::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-""#;
        let other = page.replace("GET / ", "GET /a.png ");
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        write!(file, "{page}\n\n{other}\nnonsense\n{other}\n{long}\n").unwrap();
        let input = Input::open(file.path().to_str().unwrap()).unwrap();
        let found = scan(&input).unwrap();
        let counts = (
            found.lines,
            found.blank,
            found.pages,
            found.requests,
            found.rejected,
        );
        assert_eq!(counts, (6, 1, 1, 2, 2));
        assert_eq!(found.events(), 3);

        let (batches, mut receiver) = mpsc::channel(10);
        let dir = tempfile::tempdir().unwrap();
        let mut rejects = Rejects::new(dir.path().join("rejects"));
        produce(&input, None, &batches, &mut rejects).unwrap();
        drop(batches);
        let batch = receiver.blocking_recv().unwrap();
        let numbers: Vec<u64> = batch.iter().map(|call| call.number).collect();
        assert_eq!(numbers, [1, 3, 5]);
        assert!(receiver.blocking_recv().is_none());
        assert_eq!(rejects.count(), 2);
    }
}
