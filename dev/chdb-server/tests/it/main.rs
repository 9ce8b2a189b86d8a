//! The contract: what Weir may expect of ClickHouse's HTTP interface.
//!
//! Each test starts a `weir-chdb-server` of its own, or uses the server that `WEIR_CLICKHOUSE_URL` names
//! (`WEIR_CLICKHOUSE_USER`, `WEIR_CLICKHOUSE_PASSWORD`), in a database of its own and with a reader of its own, unless
//! `WEIR_CLICKHOUSE_READER_USER` and `WEIR_CLICKHOUSE_READER_PASSWORD` name one.

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
