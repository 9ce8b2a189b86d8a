//! The collector on a real Kafka.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop"
)]

mod harness;
mod kafka;
