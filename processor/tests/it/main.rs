//! The exactly-once core against a world that fails.

mod model;
mod world;
