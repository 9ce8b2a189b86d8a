//! ClickHouse's HTTP interface over libchdb, for development.
fn main() {}
