//! The binary as its callers see it, with nothing but itself.
#![allow(clippy::unwrap_used, reason = "a broken expectation ends the test")]

mod import;
