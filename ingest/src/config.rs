//! Settings of the collector, section `[ingest]`.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use weir_common::config::{HumanDuration, HumanSize};

/// Section `[ingest]`. Each field is also read from `WEIR_INGEST_<FIELD>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// Address and port for SDKs. `WEIR_INGEST_LISTEN`.
    pub listen: String,
    /// Address and port for operators: metrics and health; not for the public.
    /// `WEIR_INGEST_METRICS_LISTEN`.
    pub metrics_listen: String,
    /// The file that names sources and their write keys. `WEIR_INGEST_SOURCES`.
    pub sources: PathBuf,
    /// Directory for the secret of the cookieless visitor ids. Losing it makes known visitors new
    /// ones; collectors that share visitors share its content. `WEIR_INGEST_DATA_DIR`.
    pub data_dir: PathBuf,
    /// Networks of the proxies whose `X-Forwarded-For` or `Forwarded` is believed. They must set or
    /// remove both headers. `WEIR_INGEST_TRUSTED_PROXIES`.
    pub trusted_proxies: Vec<IpNet>,
    /// Most bytes of a request body as sent. `WEIR_INGEST_MAX_ENCODED_BYTES`.
    pub max_encoded_bytes: HumanSize,
    /// Most bytes of a request body after decompression. `WEIR_INGEST_MAX_DECODED_BYTES`.
    pub max_decoded_bytes: HumanSize,
    /// Most bytes of one event; a larger one is recorded as rejected, its neighbours are stored.
    /// `WEIR_INGEST_MAX_EVENT_BYTES`.
    pub max_event_bytes: HumanSize,
    /// Most events in one request. `WEIR_INGEST_MAX_BATCH_EVENTS`.
    pub max_batch_events: usize,
    /// Most open connections; further ones wait in the system's queue.
    /// `WEIR_INGEST_MAX_CONNECTIONS`.
    pub max_connections: usize,
    /// Most requests worked on at a time; further ones are answered 503. `WEIR_INGEST_MAX_REQUESTS`.
    pub max_requests: usize,
    /// Most bytes of request bodies and of records waiting for Kafka's acknowledgement, together;
    /// beyond that requests are answered 503. `WEIR_INGEST_MAX_BUFFERED_BYTES`.
    pub max_buffered_bytes: HumanSize,
    /// Longest time for a request's head (and for an idle connection), and again for its body.
    /// `WEIR_INGEST_READ_TIMEOUT`.
    pub read_timeout: HumanDuration,
    /// Longest time for Kafka to acknowledge a record before the request is answered 503. SDKs give
    /// up after 10 s by themselves. `WEIR_INGEST_ACK_TIMEOUT`.
    pub ack_timeout: HumanDuration,
    /// Longest time for requests under way to end once the process is told to stop.
    /// `WEIR_INGEST_SHUTDOWN_TIMEOUT`.
    pub shutdown_timeout: HumanDuration,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            metrics_listen: "127.0.0.1:9101".to_owned(),
            sources: PathBuf::from("sources.toml"),
            data_dir: PathBuf::from("data/ingest"),
            trusted_proxies: Vec::new(),
            max_encoded_bytes: HumanSize(4 << 20),
            max_decoded_bytes: HumanSize(4 << 20),
            max_event_bytes: HumanSize(32 << 10),
            max_batch_events: 10_000,
            max_connections: 10_000,
            max_requests: 2_048,
            max_buffered_bytes: HumanSize(64 << 20),
            read_timeout: HumanDuration(Duration::from_secs(30)),
            ack_timeout: HumanDuration(Duration::from_secs(8)),
            shutdown_timeout: HumanDuration(Duration::from_secs(15)),
        }
    }
}

/// What is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting ingest.{setting} {message}")]
pub struct ConfigError {
    /// The setting.
    pub setting: &'static str,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

/// What a record weighs beside its event: the envelope's header, and librdkafka's bookkeeping.
pub(crate) const RECORD_OVERHEAD_BYTES: u64 = 1024;

/// Kafka takes records up to 1 MiB by default; envelope and rewritten fields need their share.
const MAX_EVENT_BYTES: u64 = 900 << 10;

impl IngestConfig {
    /// Checks what types cannot: limits that contradict each other.
    ///
    /// # Errors
    /// Names the setting; the operator changes it.
    pub fn check(&self) -> Result<(), ConfigError> {
        let error = |setting, message: String| Err(ConfigError { setting, message });
        for (setting, count) in [
            ("max_batch_events", self.max_batch_events),
            ("max_connections", self.max_connections),
            ("max_requests", self.max_requests),
        ] {
            if !(1..=1_000_000).contains(&count) {
                return error(setting, format!("is {count}, not between 1 and 1000000"));
            }
        }
        if !(1..=MAX_EVENT_BYTES).contains(&self.max_event_bytes.0) {
            let message = format!("is {}, not between 1B and 900KiB", self.max_event_bytes);
            return error("max_event_bytes", message);
        }
        for (setting, size) in [
            ("max_encoded_bytes", self.max_encoded_bytes),
            ("max_decoded_bytes", self.max_decoded_bytes),
        ] {
            if !(self.max_event_bytes.0..=256 << 20).contains(&size.0) {
                let message = format!("is {size}, not between max_event_bytes and 256MiB");
                return error(setting, message);
            }
        }
        // A request counts with its body as sent, decoded, and as records with their headers.
        let headers = self.max_batch_events as u64 * RECORD_OVERHEAD_BYTES;
        let largest = self.max_encoded_bytes.0 + 2 * self.max_decoded_bytes.0 + headers;
        if self.max_buffered_bytes.0 < largest {
            let message = format!(
                "is {}; one request of the largest size needs {}",
                self.max_buffered_bytes,
                HumanSize(largest)
            );
            return error("max_buffered_bytes", message);
        }
        for (setting, time) in [
            ("read_timeout", self.read_timeout),
            ("ack_timeout", self.ack_timeout),
            ("shutdown_timeout", self.shutdown_timeout),
        ] {
            if !(Duration::from_millis(100)..=Duration::from_secs(600)).contains(&time.0) {
                return error(setting, format!("is {time}, not between 100ms and 10m"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_survive_toml() {
        let config = IngestConfig::default();
        config.check().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<IngestConfig>(&text).unwrap(), config);
    }

    #[test]
    fn limits_that_contradict_each_other_are_named() {
        let check = |change: &dyn Fn(&mut IngestConfig)| {
            let mut config = IngestConfig::default();
            change(&mut config);
            config.check().unwrap_err().setting
        };
        assert_eq!(check(&|c| c.max_requests = 0), "max_requests");
        assert_eq!(
            check(&|c| c.max_event_bytes = HumanSize(1 << 20)),
            "max_event_bytes"
        );
        assert_eq!(
            check(&|c| c.max_encoded_bytes = HumanSize(1)),
            "max_encoded_bytes"
        );
        assert_eq!(
            check(&|c| c.max_buffered_bytes = HumanSize(1 << 20)),
            "max_buffered_bytes"
        );
        assert_eq!(
            check(&|c| c.ack_timeout = HumanDuration(Duration::ZERO)),
            "ack_timeout"
        );
    }

    #[test]
    fn networks_and_sizes_are_read_as_text() {
        let text = "trusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]\nmax_event_bytes = \"64KiB\"\nread_timeout = \"5s\"";
        let config: IngestConfig = toml::from_str(text).unwrap();
        assert_eq!(config.trusted_proxies.len(), 2);
        assert_eq!(config.max_event_bytes, HumanSize(65_536));
    }
}
