//! Crash tests stop the process at an exact step: debug builds only.
//!
//! `WEIR_TEST_HALT=<step>:<before|after>:<n>` makes the process send itself SIGSTOP at the n-th time that a worker comes
//! to that point of that step (from 1). What happens then, SIGKILL or SIGCONT, is the test's matter.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::exactly_once::Command;

/// A side of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

struct Halt {
    step: String,
    side: Side,
    countdown: AtomicU64,
}

static HALT: LazyLock<Option<Halt>> = LazyLock::new(|| {
    let text = std::env::var("WEIR_TEST_HALT").ok()?;
    let mut parts = text.split(':');
    Some(Halt {
        step: parts.next()?.to_owned(),
        side: match parts.next()? {
            "before" => Side::Before,
            "after" => Side::After,
            _ => return None,
        },
        countdown: AtomicU64::new(parts.next()?.parse().ok()?),
    })
});

/// Stops the process if the test asked for this point.
pub(super) fn point(command: &Command, side: Side) {
    let Some(halt) = &*HALT else {
        return;
    };
    if halt.side != side || !format!("{command:?}").starts_with(&halt.step) {
        return;
    }
    if halt.countdown.fetch_sub(1, Ordering::SeqCst) == 1 {
        tracing::warn!(?command, ?side, "halting for a test");
        if let Err(error) = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP) {
            tracing::error!(%error, "cannot halt");
        }
    }
}
