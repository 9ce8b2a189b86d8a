//! End-to-end tests on real Kafka and the real engine.
