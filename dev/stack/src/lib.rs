//! Kafka, ClickHouse and Weir's roles as local child processes.
