//! `cargo dev bench`: how fast the roles are, beside what is possible at best on the same machine at the same time.
//!
//! Absolute figures of a shared machine say little, so every measurement alternates with a reference that does only the
//! unavoidable part: a handler that only reads the body, librdkafka that only produces or only consumes. What is measured
//! is a real process of the stack, by its CPU clock and by what comes out at its other end. The method and the figures are
//! in `docs/performance.md`.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use serde::Serialize;
use weir_stack::binaries::{self, Binary};
use weir_stack::{Profile, RoleSpec, progress};

mod client;
mod figures;
mod freshness;
mod ingest;
mod meter;
mod processor;
mod reference;
mod requests;

/// Measures a role beside references, in alternating rounds: release builds, medians. Expects a quiet machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Requests and events a second from HTTP to Kafka, beside a bare HTTP handler and bare librdkafka
    Ingest(ingest::Ingest),
    /// Events a second from Kafka to ClickHouse, beside a bare consumer, and how soon an event can be queried
    Processor(processor::Processor),
    /// The other side of a comparison, as a process of its own
    #[command(hide = true)]
    Reference(reference::Reference),
}

/// What all measurements have in common.
#[derive(Debug, clap::Args)]
struct Common {
    /// Rounds; each measures everything once, and medians are reported
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// A setting of the measured role, such as WEIR_PROCESSOR_BATCH_MAX_ROWS=20000; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = setting)]
    environment: Vec<(String, String)>,
    /// Measure debug builds: only to try out the measurement itself
    #[arg(long)]
    debug: bool,
}

/// What the figures were measured on.
#[derive(Debug, Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    /// Runnable processes in the minute before the measurement: others' work.
    load_before: f64,
}

impl Bench {
    /// Runs the command, in a release build of this program.
    ///
    /// # Errors
    /// Something does not build or start, or breaks under the load.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        match &self.what {
            What::Reference(reference) => reference.run(),
            What::Ingest(ingest) if optimised(&ingest.common) => ingest.run(),
            What::Processor(processor) if optimised(&processor.common) => processor.run(),
            What::Ingest(_) | What::Processor(_) => run_release(),
        }
    }
}

impl Common {
    fn profile(&self) -> Profile {
        if self.debug {
            Profile::Dev
        } else {
            Profile::Release
        }
    }

    /// Adds the settings given on the command line.
    fn configure(&self, role: RoleSpec) -> RoleSpec {
        self.environment
            .iter()
            .fold(role, |role, (name, value)| role.env(name, value))
    }
}

impl Machine {
    /// Describes this one, and says so when others are at work on it.
    fn look() -> Result<Self> {
        let load = std::fs::read_to_string("/proc/loadavg").context("cannot read the load")?;
        let load_before = load
            .split(' ')
            .next()
            .and_then(|first| first.parse().ok())
            .context("/proc/loadavg begins with no number")?;
        if load_before > 0.5 {
            progress::line(&format!(
                "the machine is not idle (load {load_before}): compare ratios, not absolute figures"
            ));
        }
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpus
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
            .map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned());
        Ok(Self {
            cpu,
            cores: std::thread::available_parallelism()?.get(),
            load_before,
        })
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if name.starts_with("WEIR_") => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected WEIR_NAME=VALUE".to_owned()),
    }
}

fn optimised(common: &Common) -> bool {
    common.debug || !cfg!(debug_assertions)
}

/// Builds everything with optimisations and becomes the result: load generator and references are part of what is measured.
fn run_release() -> Result<ExitCode> {
    let wanted = [Binary::Dev, Binary::Weir, Binary::ChdbServer];
    let program = binaries::binaries(&wanted, Profile::Release)?
        .into_iter()
        .next()
        .context("no weir-dev was built")?;
    let error = Command::new(&program)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
