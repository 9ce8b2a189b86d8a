//! `cargo dev bench ingest`: the collector beside a handler that only reads the body, and beside bare librdkafka.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weir_stack::{Role, RoleSpec, Stack, StackOptions, progress};

use super::client::{self, Load, Outcome, Window};
use super::figures::{Quantiles, micros_each, per_second};
use super::meter::Meter;
use super::reference::{self, BareHttp, Flow};
use super::requests::{self, Addressee, Prepared};
use super::{Common, Machine};

mod report;

use self::report::Report;

/// The topic that the web source's events go to.
const TOPIC: &str = "events.web";
/// Events in one request of an SDK that collects them.
const BATCH: usize = 100;
/// Different requests of each kind.
const SINGLES: usize = 5_000;
const BATCHES: usize = 200;
/// Records of each partition that bare librdkafka produces again and again.
const SAMPLE: &str = "4000";
/// Connections of the run at a given rate.
const PACED_CONNECTIONS: u32 = 64;

/// Requests and events a second from HTTP to Kafka (acks=all), beside a bare HTTP handler and bare librdkafka.
///
/// Each round measures four loads in turn: single events to a handler that only reads the body, the same requests to the
/// collector, bare librdkafka producing the collector's records with the collector's settings, and batches of 100 to the
/// collector; then single events at a steady rate, for latencies that are not those of a queue.
#[derive(Debug, clap::Args)]
pub(crate) struct Ingest {
    #[command(flatten)]
    pub(super) common: Common,
    /// Connections that send single events, each one request at a time
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Connections that send batches of 100
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    batch_connections: u32,
    /// Seconds of each measurement, after a warm-up of a quarter of it
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Requests a second of the run at a steady rate
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
}

/// One load on one server in one round.
#[derive(Clone, Copy, Debug)]
struct Measured {
    requests_per_second: f64,
    events_per_second: f64,
    cpu_us_per_request: f64,
    kafka_cpu_us_per_request: f64,
    generator_cpu_us_per_request: f64,
    latency: Quantiles,
    rss_bytes: u64,
    refused: u64,
}

/// One round.
#[derive(Clone, Copy, Debug)]
struct Round {
    bare: Measured,
    single: Measured,
    librdkafka: Flow,
    batch: Measured,
    paced: Measured,
}

/// Everything a round needs.
struct Scene<'a> {
    settings: &'a Ingest,
    stack: &'a Stack,
    authority: String,
    pid: u32,
    kafka_pid: u32,
    singles: Arc<Vec<Prepared>>,
    batches: Arc<Vec<Prepared>>,
}

impl Ingest {
    /// Runs the command.
    ///
    /// # Errors
    /// The stack does not start, or the collector refuses the load.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let stack = Stack::start(StackOptions {
            profile: self.common.profile(),
            roles: vec![self.common.configure(RoleSpec::new(Role::Ingest))],
            ..StackOptions::default()
        })?;
        // It has no part in this.
        if let Ok(clickhouse) = stack.clickhouse().service() {
            clickhouse.stop()?;
        }
        let machine = Machine::look()?;
        let scene = Scene::new(self, &stack)?;
        let mut rounds = Vec::new();
        for number in 0..self.common.rounds {
            let started = Instant::now();
            rounds.push(scene.round(number)?);
            progress::step(
                &format!("round {} of {}", number + 1, self.common.rounds),
                started,
            );
        }
        let report = Report::new(&scene, machine, &rounds);
        drop(stack);
        if self.common.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            report.print();
        }
        Ok(ExitCode::SUCCESS)
    }

    fn paced_connections(&self) -> u32 {
        self.connections.min(PACED_CONNECTIONS)
    }

    fn window(&self) -> Window {
        let measure = Duration::from_secs(self.seconds);
        Window {
            warm_up: measure / 4,
            measure,
        }
    }
}

impl<'a> Scene<'a> {
    fn new(settings: &'a Ingest, stack: &'a Stack) -> Result<Self> {
        let url = stack.ingest_url()?;
        let authority = url.strip_prefix("http://").unwrap_or(&url).to_owned();
        let description = stack.describe()?;
        let to = Addressee {
            authority: &authority,
            keys: &description.write_keys,
        };
        let scene = Self {
            settings,
            stack,
            pid: *description.pids.get("ingest").context("no ingest runs")?,
            kafka_pid: *description.pids.get("kafka").context("no Kafka runs")?,
            singles: Arc::new(requests::singles(&to, SINGLES)?),
            batches: Arc::new(requests::batches(&to, BATCHES, BATCH)?),
            authority: authority.clone(),
        };
        // What bare librdkafka produces later.
        client::deliver(scene.load(&scene.batches, settings.batch_connections, None))?;
        Ok(scene)
    }

    fn load(&self, requests: &Arc<Vec<Prepared>>, connections: u32, rate: Option<f64>) -> Load {
        Load {
            authority: self.authority.clone(),
            requests: Arc::clone(requests),
            connections: connections as usize,
            rate,
        }
    }

    /// Measures everything once; every second round in the opposite order, so that nothing always comes after the same.
    fn round(&self, number: u32) -> Result<Round> {
        let connections = self.settings.connections;
        let bare = || self.bare();
        let single = || self.measure(self.load(&self.singles, connections, None), self.pid);
        let batch = || {
            let load = self.load(&self.batches, self.settings.batch_connections, None);
            self.measure(load, self.pid)
        };
        let librdkafka = || self.librdkafka();
        let paced = || {
            let connections = self.settings.paced_connections();
            let load = self.load(&self.singles, connections, Some(self.settings.rate));
            self.measure(load, self.pid)
        };
        Ok(if number.is_multiple_of(2) {
            Round {
                bare: bare()?,
                single: single()?,
                librdkafka: librdkafka()?,
                batch: batch()?,
                paced: paced()?,
            }
        } else {
            Round {
                batch: batch()?,
                librdkafka: librdkafka()?,
                single: single()?,
                bare: bare()?,
                paced: paced()?,
            }
        })
    }

    fn measure(&self, load: Load, pid: u32) -> Result<Measured> {
        let mut used = None;
        let outcome = client::measure(
            load,
            self.settings.window(),
            || Ok((Meter::start(pid)?, Meter::start(self.kafka_pid)?)),
            |(role, kafka)| {
                used = Some((role.read()?, kafka.read()?));
                Ok(())
            },
        )?;
        let (role, kafka) = used.context("nothing was measured")?;
        let Outcome {
            tally,
            took,
            generator_cpu,
        } = outcome;
        Ok(Measured {
            requests_per_second: per_second(tally.requests, took),
            events_per_second: per_second(tally.events, took),
            cpu_us_per_request: micros_each(role.cpu, tally.requests),
            kafka_cpu_us_per_request: micros_each(kafka.cpu, tally.requests),
            generator_cpu_us_per_request: micros_each(generator_cpu, tally.requests),
            rss_bytes: role.rss_peak_bytes,
            refused: tally.refused.values().sum(),
            latency: Quantiles::of(tally.micros),
        })
    }

    fn bare(&self) -> Result<Measured> {
        let server = BareHttp::start()?;
        let mut load = self.load(&self.singles, self.settings.connections, None);
        load.authority.clone_from(&server.authority);
        self.measure(load, server.pid())
    }

    fn librdkafka(&self) -> Result<Flow> {
        let Window { warm_up, measure } = self.settings.window();
        reference::run(&[
            "produce",
            "--brokers",
            self.stack.kafka().bootstrap(),
            "--topic",
            TOPIC,
            "--sample",
            SAMPLE,
            "--warm-up-ms",
            &warm_up.as_millis().to_string(),
            "--measure-ms",
            &measure.as_millis().to_string(),
        ])
    }
}
