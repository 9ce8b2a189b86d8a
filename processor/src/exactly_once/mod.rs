//! The core promise as plain values: every offset of a partition gets one verdict, every row is in its table once,
//! every view equals its rows.
//!
//! [`Machine`] says which step comes next and is told how it went; it knows no clock, no network, no async. The worker
//! executes the steps on Kafka and ClickHouse, the model test executes them on fakes that crash. The order of the steps,
//! and why a replay need not be deterministic, is told in `docs/exactly-once.md`.

mod intent;
mod machine;
mod position;
mod settle;
mod steps;

pub use intent::{Intent, IntentError, MAX_METADATA_BYTES, Mark};
pub use machine::Machine;
pub use position::{Found, Plan, StopReason, plan};
pub use settle::{Judge, Presence, settle};
pub use steps::{Command, Decided, Judgement, LedgerEntry, Outcome, Rules, Stored};
