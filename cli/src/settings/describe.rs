//! What each setting means, for `--help` and `weir config show`. A test keeps the list complete.

use weir_common::config::Loader;

/// Name and meaning, with unit, in the order of the help.
const MEANINGS: &[(&str, &str)] = &[
    (
        "kafka.brokers",
        "bootstrap servers as host:port, separated by commas",
    ),
    (
        "kafka.client",
        "table of librdkafka options by their own names, for producers and consumers; \
         WEIR_KAFKA_CLIENT_SECURITY_PROTOCOL sets security.protocol",
    ),
    (
        "clickhouse.url",
        "address of the HTTP interface, http:// or https://",
    ),
    (
        "clickhouse.user",
        "user that owns the tables: it migrates and writes",
    ),
    (
        "clickhouse.password",
        "password of that user; empty means none",
    ),
    ("clickhouse.database", "database of all tables"),
    (
        "clickhouse.reader_user",
        "readonly=1 user for `weir sql` and `weir stats`; empty means the owner",
    ),
    (
        "clickhouse.reader_password",
        "password of the reader; empty means none",
    ),
    (
        "ingest.listen",
        "address and port for SDKs; port 0 takes a free one",
    ),
    (
        "ingest.metrics_listen",
        "address and port for metrics and health; not for the public",
    ),
    (
        "ingest.sources",
        "file that names sources and their write keys",
    ),
    (
        "ingest.data_dir",
        "directory for the secret of the cookieless visitor ids",
    ),
    (
        "ingest.trusted_proxies",
        "networks of the proxies whose X-Forwarded-For and Forwarded are believed",
    ),
    (
        "ingest.max_encoded_bytes",
        "most bytes of a request body as sent",
    ),
    (
        "ingest.max_decoded_bytes",
        "most bytes of a request body after decompression",
    ),
    (
        "ingest.max_event_bytes",
        "most bytes of one event, up to 900KiB",
    ),
    ("ingest.max_batch_events", "most events in one request"),
    ("ingest.max_connections", "most open connections"),
    (
        "ingest.max_requests",
        "most requests worked on at a time; further ones get 503",
    ),
    (
        "ingest.max_buffered_bytes",
        "most bytes of bodies and unacknowledged records together; beyond that 503",
    ),
    (
        "ingest.read_timeout",
        "longest time for a request's head, and again for its body",
    ),
    (
        "ingest.ack_timeout",
        "longest wait for Kafka before a request gets 503",
    ),
    (
        "ingest.shutdown_timeout",
        "longest time for requests under way at shutdown",
    ),
    (
        "processor.metrics_listen",
        "address and port for metrics and health; not for the public",
    ),
    (
        "processor.group",
        "consumer group; its processors share the partitions",
    ),
    (
        "processor.topics",
        "topics to read; empty means every raw topic",
    ),
    (
        "processor.schemas",
        "folder of event schemas; unset means those in the binary",
    ),
    (
        "processor.batch_max_rows",
        "most records in a batch, up to 100000",
    ),
    (
        "processor.batch_max_bytes",
        "most bytes of record values in a batch, up to 32MiB",
    ),
    (
        "processor.batch_max_age",
        "longest wait of a batch's first record for others",
    ),
    (
        "processor.inserts_per_second",
        "batches a second that close by age, over all partitions of the process",
    ),
    (
        "processor.dedup_window",
        "how long a stored event id makes a repeat a duplicate, by arrival time",
    ),
    (
        "processor.dedup_max_ids",
        "most event ids that a partition remembers",
    ),
    (
        "processor.resend_horizon",
        "how long after a batch was declared its rows may be sent again to heal a view",
    ),
    (
        "processor.insert_start_limit",
        "how long after a batch was declared its inserts may start; a successor waits as long",
    ),
    (
        "processor.window_parts",
        "the tables' deduplication window in parts, as migrated",
    ),
    (
        "processor.shard",
        "name of the ClickHouse shard that takes the rows; empty for one server",
    ),
    (
        "processor.drain_timeout",
        "longest time for batches under way at shutdown or when a partition is revoked",
    ),
    (
        "log.level",
        "least severe level, or directives such as info,weir_processor=debug",
    ),
    ("log.format", "text or json"),
];

/// Returns what a setting means; a key of a free map has the map's meaning.
pub(crate) fn meaning(name: &str) -> Option<&'static str> {
    let found = MEANINGS.iter().find(|(known, _)| {
        name == *known || name.strip_prefix(known).is_some_and(|k| k.starts_with('.'))
    });
    found.map(|(_, meaning)| *meaning)
}

/// Returns the environment variable that sets a setting.
pub(crate) fn variable(name: &str) -> String {
    format!("WEIR_{}", name.replace('.', "_").to_ascii_uppercase())
}

/// Returns the settings of some sections for a command's long help.
pub(crate) fn help_for(sections: &[&str]) -> String {
    let defaults = super::sections().map(|loader: Loader| loader.settings());
    let defaults = defaults.unwrap_or_default();
    let mut help = String::from(
        "Settings, in rising order of precedence: local stack, TOML file (--config, else ./weir.toml), \
         environment, flags. WEIR_…_FILE names a file that holds the value.\n",
    );
    for section in sections {
        help.push_str(&format!("\n[{section}]\n"));
        for (name, meaning) in MEANINGS {
            let Some(field) = name.strip_prefix(section).and_then(|n| n.strip_prefix('.')) else {
                continue;
            };
            let default = defaults.iter().find(|setting| setting.name == *name);
            let default = default.map_or(serde_json::Value::Null, |setting| setting.value.clone());
            help.push_str(&format!(
                "  {field} = {default}  ({})\n      {meaning}\n",
                variable(name)
            ));
        }
    }
    help.truncate(help.trim_end().len());
    help
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_setting_is_described_and_no_other() {
        let defaults = crate::settings::sections().unwrap().settings();
        let known: BTreeSet<&str> = defaults
            .iter()
            .map(|setting| setting.name.as_str())
            .collect();
        let described: BTreeSet<&str> = MEANINGS.iter().map(|(name, _)| *name).collect();
        assert_eq!(known, described);
    }

    #[test]
    fn help_names_default_variable_and_meaning() {
        let help = help_for(&["kafka", "log"]);
        assert!(
            help.contains("brokers = \"localhost:9092\"  (WEIR_KAFKA_BROKERS)\n      bootstrap"),
            "{help}"
        );
        assert!(meaning("kafka.client.linger.ms").is_some());
        assert_eq!(meaning("kafka.nothing"), None);
    }
}
