//! The stream processor: Kafka to ClickHouse, exactly once.
//!
//! Records are decoded, normalised and validated by `weir-event`, repeats are dropped, and what comes of a batch is
//! inserted under a scheme that gives every offset one verdict through any crash (`exactly_once`). This crate is the
//! shell around that: membership (`group`), reading (`reader`), one worker a partition (`worker`), outputs (`outputs`).

pub mod batch;
mod config;
pub mod dedup;
pub mod exactly_once;
mod group;
mod metrics;
mod outputs;
mod pacer;
pub mod prepare;
mod reader;
mod run;
mod worker;

pub use config::{ConfigError, ProcessorConfig};
pub use outputs::{FAILED_TOPIC, VALID_TOPIC};
pub use run::{Error, run};
