//! `cargo dev status`: what runs, where, and whether it is ready.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use comfy_table::{Table, presets};
use serde::Serialize;
use weir_stack::{Description, http, kafka};

use super::place;
use super::record::Record;

/// Shows what runs, and whether it is ready. Exit code 0: everything is; 1: something is not, or nothing runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// The data directory given to `up` [default: .weir in the workspace]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object: that of `up --json`, and the state of each part
    #[arg(long)]
    json: bool,
}

/// The state of one part of the stack.
#[derive(Debug, Serialize)]
struct Part {
    name: String,
    state: &'static str,
    pid: Option<u32>,
    address: String,
    detail: String,
}

#[derive(Serialize)]
struct Report {
    running: bool,
    parts: Vec<Part>,
    #[serde(flatten)]
    description: Option<Description>,
}

impl Status {
    /// Runs the command.
    ///
    /// # Errors
    /// The stack's files are damaged.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let data = place::data_directory(self.data.as_deref())?;
        let running = place::is_running(&data);
        let record = Record::read(&data)?.filter(|record| running && record.ready);
        let description = match record {
            Some(_) => Description::read(&data.join("stack.json"))?,
            None => None,
        };
        let parts = match (&description, &record) {
            (Some(description), Some(record)) => parts(description, record),
            _ => Vec::new(),
        };
        let healthy = !parts.is_empty() && parts.iter().all(|part| part.state == "ready");
        if self.json {
            let report = Report {
                running,
                parts,
                description,
            };
            println!("{}", serde_json::to_string(&report)?);
        } else if let Some(description) = description {
            print_table(&parts);
            println!("data and logs: {}", description.data.display());
        } else if running {
            println!("the stack in {} is starting", data.display());
        } else {
            println!(
                "no stack runs in {}; `cargo dev up` starts one",
                data.display()
            );
        }
        Ok(if healthy {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn parts(description: &Description, record: &Record) -> Vec<Part> {
    let mut parts = vec![
        part("kafka", &description.kafka, record, || {
            kafka::answers(&description.kafka)
        }),
        part("clickhouse", &description.clickhouse.url, record, || {
            ready(&format!("{}/ping", description.clickhouse.url))
        }),
    ];
    for (name, url) in &description.metrics {
        let address = if name == "ingest" {
            &description.ingest
        } else {
            url
        };
        parts.push(part(name, address, record, || {
            ready(&format!("{url}/health/ready"))
        }));
    }
    parts
}

fn part(name: &str, address: &str, record: &Record, probe: impl FnOnce() -> Result<()>) -> Part {
    let known = record.children.get(name);
    // ClickHouse of another machine has no process here.
    let ended = known.is_some_and(|known| !known.is_alive());
    let (state, detail) = match (ended, ended.then_some(()).map_or_else(probe, Ok)) {
        (true, _) => ("ended", String::new()),
        (false, Ok(())) => ("ready", String::new()),
        (false, Err(error)) => ("not ready", format!("{error:#}")),
    };
    Part {
        name: name.to_owned(),
        state,
        pid: known.map(|known| known.pid),
        address: address.to_owned(),
        detail,
    }
}

fn ready(url: &str) -> Result<()> {
    let answer = http::get(url)?;
    if answer.status != 200 {
        anyhow::bail!("status {}: {}", answer.status, answer.body.trim());
    }
    Ok(())
}

fn print_table(parts: &[Part]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["part", "state", "process", "address", ""]);
    for part in parts {
        let pid = part.pid.map_or_else(String::new, |pid| pid.to_string());
        table.add_row([&part.name, part.state, &pid, &part.address, &part.detail]);
    }
    println!("{table}");
}
