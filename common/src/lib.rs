//! Plumbing that every role of Weir shares: settings, Kafka clients, telemetry, shutdown, retries
//! and clocks.
//!
//! It knows no domain words (no events, batches or tables) and holds only what two crates use.

pub mod backoff;
pub mod config;
pub mod kafka;
pub mod shutdown;
pub mod telemetry;
pub mod time;
