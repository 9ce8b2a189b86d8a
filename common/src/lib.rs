//! Shared plumbing: configuration, Kafka, telemetry, shutdown.
