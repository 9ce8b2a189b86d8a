//! The crate on a real ClickHouse engine: the stack's own server, or the one `WEIR_CLICKHOUSE_URL` names.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may panic, as tests do"
)]

mod insert;
mod line;
mod migrations;
mod position;
mod readback;
mod removal;
mod repairs;
mod rows;
mod running;
mod state;
mod stats;
mod support;
mod verify;
mod views;
