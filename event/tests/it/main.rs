//! The evaluator as its users see it: records in, verdicts out.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod calls;
mod examples;
mod poison;
mod properties;
mod support;
