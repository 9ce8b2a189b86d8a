//! The collector: HTTP to Kafka.
