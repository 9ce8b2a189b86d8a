//! One line on standard error per step with the time it took, so that nobody looks at a silent terminal.

use std::time::Instant;

/// Prints one line.
pub fn line(text: &str) {
    eprintln!("weir-stack: {text}");
}

/// Prints that a step is done, with the time since `started`.
pub fn step(text: &str, started: Instant) {
    line(&format!(
        "{text} ({:.1} s)",
        started.elapsed().as_secs_f64()
    ));
}
