//! Waiting for a condition: the only place of the stack and its tests that sleeps between two looks.
//!
//! A wait that runs out says what it waited for, how long, and what it saw last, so that a red test explains itself.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Pause between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(50);

/// What one look at a condition found.
#[derive(Debug)]
pub enum Check<T> {
    /// The condition holds.
    Done(T),
    /// Not yet; the text says what was seen instead.
    NotYet(String),
    /// It never will.
    GiveUp(anyhow::Error),
}

impl<T> Check<T> {
    /// Turns an error into a reason to look again.
    pub fn from_result<E: std::fmt::Display>(result: std::result::Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(error) => Self::NotYet(format!("{error:#}")),
        }
    }
}

impl Check<()> {
    /// Holds when `condition` does; `seen` says what there was instead.
    pub fn that(condition: bool, seen: impl Into<String>) -> Self {
        if condition {
            Self::Done(())
        } else {
            Self::NotYet(seen.into())
        }
    }
}

/// Looks every 50 ms, blocking the thread, until the condition holds.
///
/// # Errors
/// The deadline passed, with what was seen last, or the check gave up.
pub fn until<T>(what: &str, within: Duration, mut check: impl FnMut() -> Check<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        let seen = match check() {
            Check::Done(value) => return Ok(value),
            Check::NotYet(seen) => seen,
            Check::GiveUp(error) => {
                return Err(error.context(format!("while waiting for {what}")));
            }
        };
        if started.elapsed() >= within {
            bail!("waited {within:?} for {what}; last seen: {seen}");
        }
        std::thread::sleep(INTERVAL);
    }
}

/// [`until`] for asynchronous code and checks.
///
/// # Errors
/// As [`until`].
///
/// # Cancel safety
/// Holds nothing between two looks; dropping it only ends the wait.
pub async fn until_async<T>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Check<T>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        let seen = match check().await {
            Check::Done(value) => return Ok(value),
            Check::NotYet(seen) => seen,
            Check::GiveUp(error) => {
                return Err(error.context(format!("while waiting for {what}")));
            }
        };
        if started.elapsed() >= within {
            bail!("waited {within:?} for {what}; last seen: {seen}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
