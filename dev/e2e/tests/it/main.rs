//! The whole pipeline on real parts: HTTP, Kafka, ClickHouse, child processes that are killed for real.

mod crash;
mod happy_path;
mod import;
mod load;
mod outage;
mod poison;
mod rebalance;
mod recreated;
mod support;
mod verify;
mod zombie;
