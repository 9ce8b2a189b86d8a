//! Settings of the processor.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_common::config::{HumanDuration, HumanSize};

/// The section `[processor]`. Kafka's own options are in `[kafka]`, passed through to librdkafka.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessorConfig {
    /// Address of the listener for `/metrics` and `/health`. `WEIR_PROCESSOR_METRICS_LISTEN`.
    pub metrics_listen: String,
    /// Consumer group; processors of one group share the partitions. `WEIR_PROCESSOR_GROUP`.
    pub group: String,
    /// Topics to read; empty means every raw topic that Weir declares. `WEIR_PROCESSOR_TOPICS`.
    pub topics: Vec<String>,
    /// Folder of event schemas; unset means the set built into the binary. `WEIR_PROCESSOR_SCHEMAS`.
    pub schemas: Option<PathBuf>,
    /// Records a batch holds at most, up to 100,000. `WEIR_PROCESSOR_BATCH_MAX_ROWS`.
    pub batch_max_rows: usize,
    /// Bytes of record values a batch holds at most, up to 32 MiB. `WEIR_PROCESSOR_BATCH_MAX_BYTES`.
    pub batch_max_bytes: HumanSize,
    /// How long a batch's first record waits for others; longer where `inserts_per_second` asks for it.
    /// `WEIR_PROCESSOR_BATCH_MAX_AGE`.
    pub batch_max_age: HumanDuration,
    /// Batches a second that close by age, over all partitions of this process: ClickHouse wants few parts.
    /// `WEIR_PROCESSOR_INSERTS_PER_SECOND`.
    pub inserts_per_second: f64,
    /// How long a stored event id makes a repeat a duplicate, by arrival time. `WEIR_PROCESSOR_DEDUP_WINDOW`.
    pub dedup_window: HumanDuration,
    /// Event ids this process remembers at most, over all its partitions, at about 40 bytes each; beyond that the oldest
    /// hour goes first. `WEIR_PROCESSOR_DEDUP_MAX_IDS`.
    pub dedup_max_ids: usize,
    /// How long after a batch was declared its stored rows may be sent again to heal a view.
    /// `WEIR_PROCESSOR_RESEND_HORIZON`.
    pub resend_horizon: HumanDuration,
    /// How long after a batch was declared its inserts may start; a successor waits as long before it takes over a batch
    /// of which nothing is stored. `WEIR_PROCESSOR_INSERT_START_LIMIT`.
    pub insert_start_limit: HumanDuration,
    /// The tables' deduplication window, in parts: what the migrations set. `WEIR_PROCESSOR_WINDOW_PARTS`.
    pub window_parts: u64,
    /// Name of the ClickHouse shard that takes the rows; empty for one server. `WEIR_PROCESSOR_SHARD`.
    pub shard: String,
    /// How long batches under way may take to finish at shutdown or when a partition is revoked; keep it below the
    /// group's rebalance timeout. `WEIR_PROCESSOR_DRAIN_TIMEOUT`.
    pub drain_timeout: HumanDuration,
}

impl Default for ProcessorConfig {
    fn default() -> Self {
        Self {
            metrics_listen: "127.0.0.1:9102".to_owned(),
            group: "weir-processor".to_owned(),
            topics: Vec::new(),
            schemas: None,
            batch_max_rows: 50_000,
            batch_max_bytes: HumanSize(16 << 20),
            batch_max_age: HumanDuration(Duration::from_millis(500)),
            inserts_per_second: 5.0,
            dedup_window: HumanDuration(Duration::from_secs(24 * 3_600)),
            dedup_max_ids: 20_000_000,
            resend_horizon: HumanDuration(Duration::from_secs(3_600)),
            insert_start_limit: HumanDuration(Duration::from_secs(10)),
            window_parts: 100_000,
            shard: String::new(),
            drain_timeout: HumanDuration(Duration::from_secs(40)),
        }
    }
}

/// A setting that cannot work.
#[derive(Debug, thiserror::Error)]
#[error("processor.{name} is {value}: {expected}")]
pub struct ConfigError {
    name: &'static str,
    value: String,
    expected: &'static str,
}

impl ProcessorConfig {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// Names the first setting that is out of bounds.
    pub fn check(&self) -> Result<(), ConfigError> {
        let bad = |name, value: &dyn ToString, expected| {
            Err(ConfigError {
                name,
                value: value.to_string(),
                expected,
            })
        };
        if !(1..=100_000).contains(&self.batch_max_rows) {
            return bad(
                "batch_max_rows",
                &self.batch_max_rows,
                "expected 1 to 100000",
            );
        }
        if !(1..=32 << 20).contains(&self.batch_max_bytes.0) {
            return bad(
                "batch_max_bytes",
                &self.batch_max_bytes.0,
                "expected 1 to 32 MiB",
            );
        }
        if !(self.inserts_per_second > 0.0 && self.inserts_per_second.is_finite()) {
            return bad(
                "inserts_per_second",
                &self.inserts_per_second,
                "expected more than 0",
            );
        }
        if self.dedup_max_ids == 0 {
            return bad("dedup_max_ids", &self.dedup_max_ids, "expected at least 1");
        }
        if !(1..=10).contains(&self.insert_start_limit.0.as_secs()) {
            let value = self.insert_start_limit.to_string();
            return bad("insert_start_limit", &value, "expected 1s to 10s");
        }
        if self.window_parts < 4 {
            return bad("window_parts", &self.window_parts, "expected at least 4");
        }
        if self.shard.len() > 200 {
            return bad("shard", &self.shard, "expected at most 200 bytes");
        }
        Ok(())
    }
}
