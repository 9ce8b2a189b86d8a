//! Kafka: one section of settings, the client configurations built from it, and admin requests.
//!
//! librdkafka's own options are passed through by name; only those that carry the delivery
//! guarantee are out of reach.

mod admin;

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use serde::{Deserialize, Deserializer, Serialize};

pub use admin::{Admin, AdminError, Committed, TopicLayout, TopicSpec, Watermarks};

use crate::config::is_secret;

/// Options that Weir sets itself because exactly-once delivery rests on them.
const RESERVED: [&str; 13] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "group.id",
    "max.in.flight.requests.per.connection",
    "metadata.broker.list",
    "partitioner",
    "request.required.acks",
    "transactional.id",
];

/// Section `[kafka]`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Bootstrap servers as `host:port`, separated by commas. `WEIR_KAFKA_BROKERS`.
    pub brokers: String,
    /// Options of librdkafka by their own names, for producers and consumers alike, such as
    /// `security.protocol`. In the environment dots are underscores:
    /// `WEIR_KAFKA_CLIENT_SECURITY_PROTOCOL`.
    #[serde(deserialize_with = "client_options")]
    pub client: BTreeMap<String, String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".to_owned(),
            client: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client: BTreeMap<&str, &str> = self
            .client
            .iter()
            .map(|(key, value)| (key.as_str(), if is_secret(key) { "***" } else { value }))
            .collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("client", &client)
            .finish()
    }
}

impl KafkaConfig {
    /// Returns settings for brokers at `brokers` and nothing else.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client: BTreeMap::new(),
        }
    }

    /// Returns the configuration of an idempotent producer that acknowledges only what every
    /// in-sync replica has. Its queue is bounded (64 MiB), and a record that is not acknowledged
    /// within 10 s is reported as failed.
    #[must_use]
    pub fn producer(&self) -> ClientConfig {
        let mut config = self.base(&[
            ("acks", "all"),
            ("enable.idempotence", "true"),
            // Java's default partitioner, so that every client puts a key in the same partition.
            ("partitioner", "murmur2_random"),
            ("compression.type", "lz4"),
            ("linger.ms", "5"),
            ("message.timeout.ms", "10000"),
            ("queue.buffering.max.kbytes", "65536"),
            ("queue.buffering.max.messages", "100000"),
        ]);
        self.pass_through(&mut config);
        config
    }

    /// Returns the configuration of a consumer of `group` that never commits or stores an offset
    /// by itself and fails on a missing one. Its prefetch queue is bounded (32 MiB).
    #[must_use]
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.base(&[
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("allow.auto.create.topics", "false"),
            ("check.crcs", "true"),
            ("queued.max.messages.kbytes", "32768"),
            ("session.timeout.ms", "45000"),
        ]);
        self.pass_through(&mut config);
        config
    }

    /// Returns the configuration of a client that only administers or looks.
    #[must_use]
    pub fn admin(&self) -> ClientConfig {
        let mut config = self.base(&[]);
        self.pass_through(&mut config);
        config
    }

    fn base(&self, options: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "weir")
            .set("socket.keepalive.enable", "true")
            // The default of 10 s makes a restarted broker look dead for as long.
            .set("reconnect.backoff.max.ms", "2000");
        for (key, value) in options {
            config.set(*key, *value);
        }
        config
    }

    fn pass_through(&self, config: &mut ClientConfig) {
        for (key, value) in &self.client {
            if !RESERVED.contains(&key.as_str()) {
                config.set(key, value);
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, a number or true/false")]
enum OptionValue {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
}

fn client_options<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let options = BTreeMap::<String, OptionValue>::deserialize(deserializer)?;
    if let Some(key) = options.keys().find(|key| RESERVED.contains(&key.as_str())) {
        return Err(serde::de::Error::custom(format!(
            "{key} cannot be changed: the delivery guarantee rests on Weir's own value"
        )));
    }
    let text = |value| match value {
        OptionValue::Text(text) => text,
        OptionValue::Integer(number) => number.to_string(),
        OptionValue::Float(number) => number.to_string(),
        OptionValue::Bool(flag) => flag.to_string(),
    };
    Ok(options
        .into_iter()
        .map(|(key, value)| (key, text(value)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loader;

    fn with_toml(text: &str) -> Result<KafkaConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.toml");
        std::fs::write(&path, text).unwrap();
        let loader = Loader::new().section::<KafkaConfig>("kafka").unwrap();
        let loader = loader.toml_file(&path).map_err(|error| error.to_string())?;
        loader.extract("kafka").map_err(|error| error.to_string())
    }

    #[test]
    fn options_pass_through_and_win_over_the_defaults() {
        let text = "[kafka]\nbrokers = 'a:1,b:2'\n[kafka.client]\nsession.timeout.ms = 6000\nsocket.keepalive.enable = false";
        let config = with_toml(text).unwrap();
        let consumer = config.consumer("g");
        assert_eq!(consumer.get("bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!(consumer.get("session.timeout.ms"), Some("6000"));
        assert_eq!(consumer.get("socket.keepalive.enable"), Some("false"));
        assert_eq!(consumer.get("auto.offset.reset"), Some("error"));
        assert_eq!(consumer.get("enable.auto.offset.store"), Some("false"));
        assert_eq!(config.producer().get("acks"), Some("all"));
        assert_eq!(config.producer().get("partitioner"), Some("murmur2_random"));
    }

    #[test]
    fn options_that_carry_the_guarantee_are_refused() {
        let error = with_toml("[kafka.client]\nacks = 1").unwrap_err();
        assert!(error.contains("kafka.client"), "{error}");
        assert!(error.contains("acks cannot be changed"), "{error}");
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let mut config = KafkaConfig::default();
        let client = &mut config.client;
        client.insert("sasl.password".to_owned(), "hush".to_owned());
        client.insert("sasl.username".to_owned(), "weir".to_owned());
        let shown = format!("{config:?}");
        assert!(!shown.contains("hush") && shown.contains("weir"), "{shown}");
    }

    #[test]
    fn librdkafka_accepts_every_configuration() {
        use rdkafka::consumer::BaseConsumer;
        use rdkafka::producer::FutureProducer;
        let config = KafkaConfig::new("127.0.0.1:1");
        drop(config.producer().create::<FutureProducer>().unwrap());
        config.consumer("g").create::<BaseConsumer>().unwrap();
        config.admin().create::<BaseConsumer>().unwrap();
    }
}
