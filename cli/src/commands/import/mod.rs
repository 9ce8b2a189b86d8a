//! `weir import`: files of other programs become events.

mod memory;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use hyper::Uri;
use hyper::header::HeaderValue;
use serde::Serialize;
use weir_clickhouse::imports::Import;
use weir_common::config::HumanDuration;
use weir_common::time::rfc3339;

use crate::cli::Output;
use crate::exit::{Failure, Outcome};
use crate::import::{Imported, Input, Plan, Rejects, Scan, SendError, Sender, scan, send};
use crate::output::{self, Format, Rows, count};
use crate::settings::Settings;
use memory::Memory;

/// The source whose key is used where a local stack offers it.
const DEFAULT_SOURCE: &str = "import";

/// What to import.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Imports access logs of web servers: common and combined format, plain or gzip
    #[command(long_about = ACCESS_LOG_ABOUT)]
    AccessLog(AccessLogArgs),
}

const ACCESS_LOG_ABOUT: &str = "\
Imports access logs of web servers through the collector: common and combined format, plain or gzip \
(told by content), from files or standard input. Each line keeps its time, address, agent and referrer.

A GET answered 2xx or 304 whose path's last segment has no dot, or ends in .html .htm .xhtml .php .asp \
.aspx .jsp, becomes a `page` event with the path without query. Every other line becomes a `track` event \
`http_request` with method, path, status and bytes. A visitor is an address and agent within a UTC day.

Lines that cannot be read go to the reject file with their number and the reason; blank lines are skipped; \
fields after the agent are ignored.

An event's id comes from the line and its number, so that importing the same content again adds nothing as \
long as the ids are remembered (processor.dedup_window, by default 24 h). After that, content that was \
imported before is refused, unless --again is given; what was imported is kept in the table `imports`.";

/// Flags of `weir import access-log`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 1 means that lines were rejected (more than --max-rejects) or that the \
content was imported before; an import that fails halfway (3) may simply be run again."
)]
pub(crate) struct AccessLogArgs {
    /// Files to import, one after the other; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Address of the collector, with http:// or https:// before its host [default: the local stack's]
    #[arg(long, value_name = "URL", env = "WEIR_IMPORT_URL")]
    url: Option<String>,
    /// Write key of class `server`: keys of other classes may set neither address nor old times; needs
    /// --source [default: the local stack's key of --source]
    #[arg(
        long,
        value_name = "KEY",
        env = "WEIR_IMPORT_KEY",
        hide_env_values = true,
        requires = "source"
    )]
    key: Option<String>,
    /// Id of the source that --key belongs to; imports are remembered by it
    #[arg(long, value_name = "ID", default_value = DEFAULT_SOURCE, env = "WEIR_IMPORT_SOURCE")]
    source: String,
    /// Host of the site, such as example.com, with http:// before it if it has no TLS; gives pages a URL
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Imports content that was imported before; its events may then be counted twice. ClickHouse
    /// need not be reachable
    #[arg(long)]
    again: bool,
    /// File for lines that cannot be imported: file, line number, reason, text, separated by tabs;
    /// made when there is one
    #[arg(long, value_name = "FILE", default_value = "weir-import.rejects.tsv")]
    rejects: PathBuf,
    /// Rejected lines that are no reason for exit code 1
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    max_rejects: u64,
    /// Requests under way at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// How long a batch is tried again while the collector is away or overloaded
    #[arg(long, value_name = "TIME", default_value = "5m")]
    retry_for: HumanDuration,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Report {
    source: String,
    files: Vec<FileReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejects: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    file: String,
    digest: String,
    lines: u64,
    blank_lines: u64,
    page_events: u64,
    request_events: u64,
    /// Events the collector took.
    sent: u64,
    rejected_lines: u64,
    requests: u64,
    retries: u64,
    seconds: f64,
    /// When the same content was first imported, RFC 3339.
    imported_before: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Those of settings, files, ClickHouse and the collector.
pub(crate) async fn run(settings: &Settings, command: ImportCommand) -> Result<Outcome> {
    let ImportCommand::AccessLog(args) = command;
    if args.files.iter().filter(|file| *file == "-").count() > 1 {
        bail!(Failure::Usage(
            "standard input (-) can be read only once".to_owned()
        ));
    }
    let plan = plan(settings, &args)?;
    let memory = Memory::open(settings, args.again).await?;
    // Before a large file is read for nothing.
    let probed = plan.sender.probe().await.map_err(anyhow::Error::from);
    probed.map_err(|error| explain(error, "nothing was imported"))?;
    let mut report = Report {
        source: args.source.clone(),
        files: Vec::new(),
        rejects: None,
    };
    let mut rejects = Rejects::new(args.rejects.clone());
    let mut failed = None;
    for name in &args.files {
        let begun = Instant::now();
        let (kept, imported) = import(&args, name, &plan, &memory, rejects).await;
        rejects = kept;
        match imported {
            Ok(mut file) => {
                file.seconds = begun.elapsed().as_secs_f64();
                report.files.push(file);
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    report.rejects = rejects.path().map(PathBuf::from);
    if failed.is_none() || !report.files.is_empty() {
        match args.output.output {
            Format::Json => output::json(&report)?,
            Format::Table => print(&report)?,
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(if rejects.count() > args.max_rejects {
        Outcome::Findings
    } else {
        Outcome::Fine
    })
}

/// Imports one file, unless it was imported before.
async fn import(
    args: &AccessLogArgs,
    name: &str,
    plan: &Plan,
    memory: &Memory,
    rejects: Rejects,
) -> (Rejects, Result<FileReport>) {
    let prepared = async {
        let (input, found) = open(name.to_owned()).await?;
        let before = memory.check(&args.source, &found, name).await?;
        memory
            .remember(&args.source, &found, name, before.as_ref())
            .await?;
        Ok((input, found, before))
    };
    let (input, found, before) = match prepared.await {
        Ok(prepared) => prepared,
        Err(error) => return (rejects, Err(error)),
    };
    let (rejects, imported) = send(input, found.events(), plan, rejects).await;
    let imported = imported
        .map(|imported| FileReport::new(name, found, &imported, before))
        .map_err(|error| {
            let whole =
                format!("{name} was not imported whole; run the same command again to go on");
            explain(error, &whole)
        });
    (rejects, imported)
}

/// Makes a refusal of the collector or of the key the caller's to mend, and puts `context` before other errors.
fn explain(error: anyhow::Error, context: &str) -> anyhow::Error {
    match error.downcast_ref() {
        Some(SendError::Refused { status, .. }) if status.is_client_error() => {
            Failure::Usage(error.to_string()).into()
        }
        Some(SendError::KeyClass(_)) => Failure::Usage(error.to_string()).into(),
        _ => error.context(context.to_owned()),
    }
}

/// Reads a file once, beside the runtime's threads.
async fn open(name: String) -> Result<(Input, Scan)> {
    tokio::task::spawn_blocking(move || {
        let input = Input::open(&name)?;
        let found = scan(&input)?;
        Ok((input, found))
    })
    .await?
}

fn plan(settings: &Settings, args: &AccessLogArgs) -> Result<Plan> {
    let stack = settings.stack();
    let url = args
        .url
        .clone()
        .or_else(|| stack?.ingest.clone())
        .filter(|url| !url.is_empty());
    let Some(url) = url else {
        bail!(Failure::Usage(
            "no collector to send to: give --url, or start a local stack with `cargo dev up`"
                .to_owned()
        ));
    };
    let uri: Uri = format!("{}/v1/batch", url.trim_end_matches('/'))
        .parse()
        .ok()
        .filter(|uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")))
        .ok_or_else(|| {
            Failure::Usage(format!(
                "--url {url}: expected an address such as https://events.example.com"
            ))
        })?;
    let key = args.key.clone().or_else(|| {
        // A key of the local stack is of no use to another collector.
        let stack = stack.filter(|_| args.url.is_none())?;
        stack.write_keys.get(&args.source).cloned()
    });
    let Some(key) = key else {
        bail!(Failure::Usage(format!(
            "no write key for source {}: give its key of class `server` as --key",
            args.source
        )));
    };
    let key = HeaderValue::from_str(&key)
        .map_err(|_| Failure::Usage("--key holds characters that no write key has".to_owned()))?;
    Ok(Plan {
        sender: Sender::new(uri, key, args.retry_for.0),
        parallel: usize::from(args.parallel),
        site: args.host.as_deref().map(site).transpose()?,
    })
}

/// Returns scheme and host of the site; https where no scheme is given.
fn site(host: &str) -> Result<String, Failure> {
    let address = if host.contains("://") {
        host.to_owned()
    } else {
        format!("https://{host}")
    };
    let address = address.trim_end_matches('/');
    let uri = address.parse::<Uri>().ok().filter(|uri| {
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        scheme && uri.host().is_some_and(|host| !host.is_empty()) && matches!(uri.path(), "" | "/")
    });
    match uri {
        Some(_) => Ok(address.to_owned()),
        None => Err(Failure::Usage(format!(
            "--host {host}: expected a host such as example.com or http://example.com:8080"
        ))),
    }
}

impl FileReport {
    fn new(name: &str, found: Scan, imported: &Imported, before: Option<Import>) -> Self {
        Self {
            file: name.to_owned(),
            digest: found.digest,
            lines: found.lines,
            blank_lines: found.blank,
            page_events: found.pages,
            request_events: found.requests,
            sent: imported.events,
            rejected_lines: imported.rejected,
            requests: imported.requests,
            retries: imported.retries,
            seconds: 0.0,
            imported_before: before.map(|before| rfc3339(before.imported_at_ms)),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn print(report: &Report) -> Result<()> {
    let mut rows = Rows::new([
        "file", "lines", "pages", "requests", "sent", "rejected", "blank", "retries", "events/s",
    ]);
    for file in &report.files {
        rows.add([
            file.file.clone(),
            count(file.lines),
            count(file.page_events),
            count(file.request_events),
            count(file.sent),
            count(file.rejected_lines),
            count(file.blank_lines),
            count(file.retries),
            count((file.sent as f64 / file.seconds.max(0.001)) as u64),
        ]);
    }
    output::table(&rows)?;
    for file in &report.files {
        if let Some(before) = &file.imported_before {
            output::line(&format!(
                "{} was imported before, on {before}: events that are stored already are dropped as duplicates.",
                file.file
            ))?;
        }
    }
    if let Some(path) = &report.rejects {
        output::line(&format!("Rejected lines, with reasons: {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_a_scheme_and_a_host() {
        assert_eq!(site("example.com").unwrap(), "https://example.com");
        assert_eq!(
            site("http://localhost:8080/").unwrap(),
            "http://localhost:8080"
        );
        for bad in ["", "ftp://example.com", "example.com/blog", "a b"] {
            assert!(site(bad).is_err(), "{bad}");
        }
    }
}
