//! Tests of the stack on real Kafka, the real engine and real processes.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

mod clickhouse;
mod kafka;
mod parent;
mod prerequisites;
mod stack;
