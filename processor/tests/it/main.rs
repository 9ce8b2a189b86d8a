//! The exactly-once core against a world that fails.
#![allow(clippy::unwrap_used, reason = "a broken expectation ends the test")]

mod model;
mod world;
