//! End-to-end tests on real Kafka and the real engine; they are all in `tests/it`.
