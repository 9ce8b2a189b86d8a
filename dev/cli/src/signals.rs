//! Ctrl-C and SIGTERM as messages, so that what was started can be ended in order.

use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Returns a channel that gets a message per SIGINT, SIGTERM or SIGHUP; none of them ends this process any more.
///
/// # Errors
/// The signals cannot be caught.
pub(crate) fn channel_of_signals() -> Result<Receiver<()>> {
    let (sender, receiver) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot catch signals")?;
    // Inside the runtime's context, and before this function returns: none may be missed.
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(guard);
    std::thread::spawn(move || {
        runtime.block_on(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
    });
    Ok(receiver)
}
