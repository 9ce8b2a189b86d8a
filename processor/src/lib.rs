//! The stream processor: Kafka to ClickHouse, exactly once.

pub mod exactly_once;
