//! The crate on a real ClickHouse engine: the stack's own server, or the one `WEIR_CLICKHOUSE_URL` names.

mod insert;
mod migrations;
mod position;
mod readback;
mod repairs;
mod rows;
mod running;
mod state;
mod stats;
mod support;
mod verify;
mod views;
