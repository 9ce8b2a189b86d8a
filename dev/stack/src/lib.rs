//! Kafka, ClickHouse and Weir's roles as local child processes.
//!
//! One library for the developer's stack (`cargo dev up`), component tests, end-to-end tests and benchmarks. Everything blocks and
//! nothing needs a runtime, so it can be called from plain and from asynchronous tests. Whatever is started here is killed when its
//! value is dropped, and at the latest when this process ends, however it ends.
//!
//! The stack itself knows nothing about events and tables: what the roles do with Kafka and ClickHouse is theirs. Only
//! [`load`], [`faults`] and [`balance`] do, which tests, `cargo dev chaos` and `cargo dev bench` have in common.

pub mod artifacts;
pub mod balance;
pub mod binaries;
pub mod clickhouse;
mod data;
pub mod description;
pub mod faults;
pub mod http;
pub mod kafka;
pub mod load;
mod options;
pub mod ports;
mod process;
pub mod progress;
mod roles;
mod service;
mod sources;
mod stack;
pub mod wait;
mod watchdog;

pub use binaries::Profile;
pub use clickhouse::ClickHouse;
pub use description::Description;
pub use kafka::Kafka;
pub use options::{Ports, StackOptions};
pub use process::{Program, start_time};
pub use roles::{Role, RoleProcess, RoleSpec};
pub use service::Service;
pub use stack::Stack;
