//! Shutdown as a value: a token that signals cancel.
//!
//! Who is given the token decides what a graceful end means; nothing here is global.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
pub use tokio_util::sync::CancellationToken;

/// Signals that come within this time of the first one are the same wish: some supervisors signal
/// the process and then its group.
const SAME: Duration = Duration::from_millis(500);

/// Returns a token that the first SIGTERM or SIGINT cancels; a later one ends the process at once
/// with 128 + the signal's number.
///
/// # Errors
/// Fails if the signal handlers cannot be installed; the process should not start then.
pub fn on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let first = next(&mut terminate, &mut interrupt).await;
        tracing::info!(
            signal = first.as_raw_value(),
            "stopping; a second signal stops at once"
        );
        cancelled.cancel();
        let begun = Instant::now();
        let mut second = next(&mut terminate, &mut interrupt).await;
        while begun.elapsed() < SAME {
            second = next(&mut terminate, &mut interrupt).await;
        }
        tracing::warn!(signal = second.as_raw_value(), "stopped by a second signal");
        std::process::exit(128 + second.as_raw_value());
    });
    Ok(token)
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate(),
        _ = interrupt.recv() => SignalKind::interrupt(),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[tokio::test]
    async fn a_signal_that_comes_twice_at_once_asks_for_a_graceful_end() {
        let token = on_signals().unwrap();
        assert!(!token.is_cancelled());
        raise(Signal::SIGTERM).unwrap();
        let waited = tokio::time::timeout(Duration::from_secs(10), token.cancelled()).await;
        assert!(waited.is_ok(), "the token was not cancelled");
        // Would end this process.
        raise(Signal::SIGINT).unwrap();
        tokio::task::yield_now().await;
    }
}
