//! The collector's figures, for machines and for people.

use serde::Serialize;

use super::{BATCH, Measured, Round, Scene};
use crate::bench::Machine;
use crate::bench::figures::{Quantiles, mebibytes, median, number, print_table, round};
use crate::bench::reference::Flow;
use crate::bench::requests::{self, Prepared};

/// One kind of load, as medians.
#[derive(Debug, Serialize)]
struct Figures {
    connections: u32,
    events_per_request: u64,
    body_bytes: u64,
    requests_per_second: f64,
    events_per_second: f64,
    cpu_us_per_request: f64,
    cpu_us_per_event: f64,
    kafka_cpu_us_per_request: f64,
    generator_cpu_us_per_request: f64,
    #[serde(flatten)]
    latency: Quantiles,
    rss_bytes: u64,
    refused: u64,
}

#[derive(Debug, Serialize)]
struct Librdkafka {
    events_per_second: f64,
    cpu_us_per_event: f64,
}

/// Everything that is reported; the fields above the parts are those worth watching.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bench: &'static str,
    machine: Machine,
    rounds: u32,
    seconds: u64,
    requests_per_second: f64,
    events_per_second: f64,
    cpu_us_per_request: f64,
    ratio_to_bare_http: f64,
    ratio_to_librdkafka: f64,
    rss_bytes: u64,
    single: Figures,
    batch: Figures,
    steady: Figures,
    bare_http: Figures,
    librdkafka: Librdkafka,
}

impl Figures {
    fn new(
        connections: u32,
        requests: &[Prepared],
        rounds: &[Round],
        pick: fn(&Round) -> &Measured,
    ) -> Self {
        let each = |value: fn(&Measured) -> f64, digits| {
            round(median(rounds.iter().map(pick).map(value)), digits)
        };
        let events_per_request = requests.first().map_or(1, |one| one.events);
        let latencies: Vec<Quantiles> = rounds.iter().map(|one| pick(one).latency).collect();
        let peaks = rounds.iter().map(|one| pick(one).rss_bytes);
        let cpu_us_per_request = each(|one| one.cpu_us_per_request, 2);
        Self {
            connections,
            events_per_request,
            body_bytes: requests::mean_bytes(requests),
            requests_per_second: each(|one| one.requests_per_second, 0),
            events_per_second: each(|one| one.events_per_second, 0),
            cpu_us_per_request,
            cpu_us_per_event: round(cpu_us_per_request / events_per_request as f64, 2),
            kafka_cpu_us_per_request: each(|one| one.kafka_cpu_us_per_request, 2),
            generator_cpu_us_per_request: each(|one| one.generator_cpu_us_per_request, 2),
            latency: Quantiles::median(&latencies),
            rss_bytes: peaks.max().unwrap_or(0),
            refused: rounds.iter().map(|one| pick(one).refused).sum(),
        }
    }
}

impl Librdkafka {
    fn new(rounds: &[Round]) -> Self {
        let each = |value: fn(Flow) -> f64, digits| {
            round(
                median(rounds.iter().map(|one| value(one.librdkafka))),
                digits,
            )
        };
        Self {
            events_per_second: each(Flow::per_second, 0),
            cpu_us_per_event: each(Flow::cpu_us, 2),
        }
    }
}

impl Report {
    /// Takes the medians of the rounds.
    pub(super) fn new(scene: &Scene<'_>, machine: Machine, rounds: &[Round]) -> Self {
        let settings = scene.settings;
        let single_events =
            |connections, pick| Figures::new(connections, &scene.singles, rounds, pick);
        let single = single_events(settings.connections, |one| &one.single);
        let batch = Figures::new(settings.batch_connections, &scene.batches, rounds, |one| {
            &one.batch
        });
        // Each round's own ratio: what disturbs the machine disturbs both sides.
        let ratio = |of: fn(&Round) -> f64| round(median(rounds.iter().map(of)), 3);
        Self {
            bench: "ingest",
            machine,
            rounds: settings.common.rounds,
            seconds: settings.seconds,
            requests_per_second: single.requests_per_second,
            events_per_second: batch.events_per_second,
            cpu_us_per_request: single.cpu_us_per_request,
            ratio_to_bare_http: ratio(|one| {
                one.single.requests_per_second / one.bare.requests_per_second
            }),
            ratio_to_librdkafka: ratio(|one| {
                one.batch.events_per_second / one.librdkafka.per_second()
            }),
            rss_bytes: single.rss_bytes.max(batch.rss_bytes),
            steady: single_events(settings.paced_connections(), |one| &one.paced),
            bare_http: single_events(settings.connections, |one| &one.bare),
            librdkafka: Librdkafka::new(rounds),
            single,
            batch,
        }
    }

    /// Prints tables.
    pub(super) fn print(&self) {
        let row = |name: &str, figures: &Figures| {
            vec![
                name.to_owned(),
                figures.connections.to_string(),
                number(figures.requests_per_second),
                number(figures.events_per_second),
                number(figures.cpu_us_per_request),
                number(figures.kafka_cpu_us_per_request),
                number(figures.generator_cpu_us_per_request),
                number(figures.latency.p50_ms),
                number(figures.latency.p99_ms),
                mebibytes(figures.rss_bytes),
            ]
        };
        let none = String::new;
        let rows = [
            row("bare HTTP, single events", &self.bare_http),
            row("ingest, single events", &self.single),
            row("ingest, single events, steady", &self.steady),
            row(&format!("ingest, batches of {BATCH}"), &self.batch),
            vec![
                "bare librdkafka".to_owned(),
                none(),
                none(),
                number(self.librdkafka.events_per_second),
                none(),
                none(),
                none(),
                none(),
                none(),
                none(),
            ],
        ];
        print_table(
            &format!(
                "ingest: medians of {} rounds of {} s, {} cores, {}",
                self.rounds, self.seconds, self.machine.cores, self.machine.cpu
            ),
            &[
                "load",
                "connections",
                "requests/s",
                "events/s",
                "CPU µs/request",
                "Kafka's",
                "generator's",
                "p50 ms",
                "p99 ms",
                "RSS peak",
            ],
            &rows,
        );
        println!(
            "\nsingle events: {} of a bare HTTP handler's requests/s, {} µs of CPU each\n\
             batches: {} of bare librdkafka's events/s, {} µs of CPU an event, librdkafka alone {} µs",
            number(self.ratio_to_bare_http),
            number(self.single.cpu_us_per_request),
            number(self.ratio_to_librdkafka),
            number(self.batch.cpu_us_per_event),
            number(self.librdkafka.cpu_us_per_event),
        );
        let refused = self.single.refused + self.batch.refused + self.steady.refused;
        if refused > 0 {
            println!("refused requests: {refused}");
        }
    }
}
