//! Waiting between retries: exponential, with jitter and a cap.
//!
//! It decides how long to wait, never whether an error is worth a retry.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Delays for a loop that retries for ever and starts afresh after each success.
#[derive(Debug)]
pub struct Backoff {
    policy: ExponentialBuilder,
    state: ExponentialBackoff,
    cap: Duration,
}

impl Backoff {
    /// Creates the sequence of delays: they double from `min` up to `max`, each lengthened by a
    /// random part of itself as far as `max` allows.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        let policy = ExponentialBuilder::new()
            .with_min_delay(min)
            .with_max_delay(max)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times();
        Self {
            policy,
            state: policy.build(),
            cap: max,
        }
    }

    /// Returns how long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        self.state.next().unwrap_or(self.cap).min(self.cap)
    }

    /// Starts over from the shortest delay; to be called after a success.
    pub fn reset(&mut self) {
        self.state = self.policy.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(2);

    #[test]
    fn delays_grow_to_the_cap_and_never_end() {
        let mut backoff = Backoff::new(MIN, MAX);
        let first = backoff.next_delay();
        assert!(first >= MIN && first < 2 * MIN, "{first:?}");
        let delays: Vec<_> = (0..100).map(|_| backoff.next_delay()).collect();
        assert!(delays.iter().all(|delay| *delay <= MAX), "{delays:?}");
        assert_eq!(delays.last(), Some(&MAX));
    }

    #[test]
    fn a_success_starts_over_from_the_shortest_delay() {
        let mut backoff = Backoff::new(MIN, MAX);
        for _ in 0..10 {
            let _ = backoff.next_delay();
        }
        backoff.reset();
        assert!(backoff.next_delay() < 2 * MIN);
    }
}
