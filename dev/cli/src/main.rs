//! Task runner: cargo dev.
fn main() {}
