//! The contract: what Weir may expect of ClickHouse's HTTP interface.
//!
//! Each test starts a `weir-chdb-server` of its own, or uses the server that `WEIR_CLICKHOUSE_URL` names
//! (`WEIR_CLICKHOUSE_USER`, `WEIR_CLICKHOUSE_PASSWORD`), in a database of its own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bodies;
mod compression;
mod curl;
mod deduplication;
mod errors;
mod parameters;
mod process;
mod queries;
mod requests;
mod running;
mod server;
mod types;
mod users;
