//! The stream processor: Kafka to ClickHouse, exactly once.
