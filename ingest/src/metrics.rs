//! Every metric of the collector.

use prometheus::{Error, Histogram, HistogramVec, IntCounterVec, IntGauge};
use weir_common::telemetry::Metrics;

use crate::sources::Platform;

/// Upper bounds in seconds: a fast answer takes a few milliseconds, a slow one the acknowledgement's time limit.
const DURATION_SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Upper bounds in bytes.
const SIZE_BYTES: [f64; 9] = [
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    4_194_304.0,
];

/// The collector's metrics; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct IngestMetrics {
    requests_total: IntCounterVec,
    request_duration_seconds: HistogramVec,
    events_total: IntCounterVec,
    producer_errors_total: IntCounterVec,
    /// Bodies after decompression.
    pub(crate) request_size_bytes: Histogram,
    /// From a request's first record queued to its last one settled.
    pub(crate) produce_duration_seconds: Histogram,
    /// Records without a delivery report.
    pub(crate) producer_queue_messages: IntGauge,
    /// Open connections.
    pub(crate) connections: IntGauge,
    /// Memory of requests under way.
    pub(crate) buffered_bytes: IntGauge,
}

impl IngestMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    ///
    /// A name is taken.
    pub(crate) fn new(metrics: &Metrics) -> Result<IngestMetrics, Error> {
        Ok(IngestMetrics {
            requests_total: metrics.counter_vec(
                "weir_ingest_requests_total",
                "Requests answered, by route and status.",
                &["endpoint", "status"],
            )?,
            request_duration_seconds: metrics.histogram_vec(
                "weir_ingest_request_duration_seconds",
                "From the request's head to its answer.",
                &["endpoint"],
                &DURATION_SECONDS,
            )?,
            events_total: metrics.counter_vec(
                "weir_ingest_events_total",
                "Events answered 200, by what became of them: accepted, or the code they were rejected with.",
                &["platform", "outcome"],
            )?,
            producer_errors_total: metrics.counter_vec(
                "weir_ingest_producer_errors_total",
                "Records that Kafka did not take.",
                &["reason"],
            )?,
            request_size_bytes: metrics.histogram(
                "weir_ingest_request_size_bytes",
                "Request bodies after decompression.",
                &SIZE_BYTES,
            )?,
            produce_duration_seconds: metrics.histogram(
                "weir_ingest_produce_duration_seconds",
                "From a request's first record queued to the last one acknowledged or given up.",
                &DURATION_SECONDS,
            )?,
            producer_queue_messages: metrics.gauge(
                "weir_ingest_producer_queue_messages",
                "Records waiting for Kafka's acknowledgement.",
            )?,
            connections: metrics.gauge("weir_ingest_connections", "Open connections of clients.")?,
            buffered_bytes: metrics.gauge(
                "weir_ingest_buffered_bytes",
                "Bodies and records under way, as counted against max_buffered_bytes.",
            )?,
        })
    }

    /// Counts an answered request.
    pub(crate) fn request(&self, endpoint: &str, status: &str, seconds: f64) {
        self.requests_total
            .with_label_values(&[endpoint, status])
            .inc();
        self.request_duration_seconds
            .with_label_values(&[endpoint])
            .observe(seconds);
    }

    /// Counts kept events.
    pub(crate) fn events(&self, platform: Platform, outcome: &str, events: usize) {
        if events > 0 {
            self.events_total
                .with_label_values(&[platform.as_str(), outcome])
                .inc_by(events as u64);
        }
    }

    /// Counts a record that Kafka did not take.
    pub(crate) fn producer_error(&self, reason: &str) {
        self.producer_errors_total
            .with_label_values(&[reason])
            .inc();
    }

    #[cfg(test)]
    pub(crate) fn producer_errors(&self, reason: &str) -> u64 {
        self.producer_errors_total
            .with_label_values(&[reason])
            .get()
    }
}
