//! Tables, migrations, row encoding and the insert client.
//!
//! Everything Weir knows about ClickHouse lives here: the SQL that makes the tables ([`migrate`]), the way a row
//! becomes RowBinary ([`rows`]), the one way rows are written ([`insert`]), how a failure is judged ([`error`]), and
//! the reads that exactly-once delivery, `weir verify` and `weir stats` are made of.
//!
//! It deliberately does not decide what to insert, when to retry or what to do with a bad row: the processor does.

pub mod batches;
pub mod columns;
pub mod compress;
pub mod config;
pub mod db;
pub mod error;
pub mod imports;
pub mod insert;
pub mod migrate;
pub mod position;
mod queries;
pub mod readback;
pub mod repairs;
pub mod rowbinary;
pub mod rows;
pub mod running;
pub mod source;
pub mod state;
pub mod stats;
pub mod stored;
pub mod streams;
pub mod verify;
pub mod windows;

pub use config::ClickHouseConfig;
pub use db::Db;
pub use error::{Class, Error};
pub use source::{OffsetRange, SourcePartition};
