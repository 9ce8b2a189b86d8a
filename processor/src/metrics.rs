//! Every metric of the processor.

use prometheus::{Error, Histogram, IntCounter, IntCounterVec, IntGaugeVec};
use weir_common::telemetry::Metrics;

const SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
];

/// The processor's metrics.
#[derive(Clone, Debug)]
pub(crate) struct ProcessorMetrics {
    /// Records by verdict, counted once their batch is in the ledger.
    pub(crate) events: IntCounterVec,
    /// Failed records by reason.
    pub(crate) failed: IntCounterVec,
    /// Age of a batch's oldest record when the batch is in the ledger.
    pub(crate) event_age: Histogram,
    /// Duration of one insert, all tries.
    pub(crate) insert_seconds: Histogram,
    /// Bytes of rows inserted, before compression.
    pub(crate) insert_bytes: IntCounter,
    /// Tries that failed, by what followed.
    pub(crate) insert_retries: IntCounterVec,
    /// Ranges found declared, or stored without being declared, at assignment.
    pub(crate) replays: IntCounterVec,
    /// Offsets Kafka had deleted before they were read.
    pub(crate) lost: IntCounterVec,
    /// Partitions that stand still until somebody acts.
    pub(crate) stopped: IntGaugeVec,
    /// Records behind the end of the partition.
    pub(crate) lag: IntGaugeVec,
    /// Partitions given and taken.
    pub(crate) rebalances: IntCounterVec,
    /// Ids held to recognise repeats.
    pub(crate) dedup_ids: IntGaugeVec,
    /// Arrival time those ids really cover.
    pub(crate) dedup_window_seconds: IntGaugeVec,
}

impl ProcessorMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Result<Self, Error> {
        const AT: &[&str] = &["topic", "partition"];
        Ok(Self {
            events: metrics.counter_vec(
                "weir_processor_events_total",
                "Records by verdict, counted once their batch is in the ledger.",
                &["topic", "outcome"],
            )?,
            failed: metrics.counter_vec(
                "weir_processor_failed_events_total",
                "Failed records by reason.",
                &["topic", "reason"],
            )?,
            event_age: metrics.histogram(
                "weir_processor_event_age_seconds",
                "Age of a batch's oldest record, from its arrival at the collector until the batch is in the ledger.",
                SECONDS,
            )?,
            insert_seconds: metrics.histogram(
                "weir_processor_insert_duration_seconds",
                "Duration of one insert into ClickHouse, all tries together.",
                SECONDS,
            )?,
            insert_bytes: metrics.counter(
                "weir_processor_insert_bytes_total",
                "Bytes of rows inserted into ClickHouse, before compression.",
            )?,
            insert_retries: metrics.counter_vec(
                "weir_processor_insert_retries_total",
                "Tries of an insert that failed, by class of the error.",
                &["class"],
            )?,
            replays: metrics.counter_vec(
                "weir_processor_replays_total",
                "Ranges that were begun before and are settled again, by what was found.",
                &["topic", "found"],
            )?,
            lost: metrics.counter_vec(
                "weir_processor_lost_records_total",
                "Offsets that Kafka had deleted before they were read.",
                &["topic"],
            )?,
            stopped: metrics.gauge_vec(
                "weir_processor_partition_stopped",
                "1 while a partition stands still until somebody acts.",
                AT,
            )?,
            lag: metrics.gauge_vec(
                "weir_processor_consumer_lag_records",
                "Records between the ledger's end and the partition's end.",
                AT,
            )?,
            rebalances: metrics.counter_vec(
                "weir_processor_rebalances_total",
                "Partitions assigned, revoked and lost.",
                &["kind"],
            )?,
            dedup_ids: metrics.gauge_vec(
                "weir_processor_dedup_ids",
                "Event ids held to recognise repeats.",
                AT,
            )?,
            dedup_window_seconds: metrics.gauge_vec(
                "weir_processor_dedup_window_seconds",
                "Arrival time that the ids held really cover.",
                AT,
            )?,
        })
    }

    /// Forgets a partition that is no longer ours.
    pub(crate) fn forget(&self, topic: &str, partition: i32) {
        let partition = partition.to_string();
        for gauge in [
            &self.stopped,
            &self.lag,
            &self.dedup_ids,
            &self.dedup_window_seconds,
        ] {
            // A gauge that was never set is not there to be removed.
            let _absent = gauge.remove_label_values(&[topic, &partition]);
        }
    }
}
