//! How a command ends: its exit code, and the errors that choose one.

use std::process::ExitCode;

use weir_common::config::ConfigError;

/// Exit codes, for `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done, nothing to report
  1  done, with findings: differences, rejected lines, a refused import
  2  the command line or a setting is wrong
  3  Kafka, ClickHouse or the collector cannot be reached, or something failed";

/// How a command that ran to its end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing to report: 0.
    Fine,
    /// It did its work and found something the caller should look at: 1.
    Findings,
}

/// Errors that do not mean "something failed" (3).
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command declines, and says what to do: 1.
    #[error("{0}")]
    Declined(String),
    /// The command line is wrong in a way that its grammar does not show: 2.
    #[error("{0}")]
    Usage(String),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Fine => ExitCode::SUCCESS,
            Outcome::Findings => ExitCode::from(1),
        }
    }
}

/// Returns the exit code of an error.
pub(crate) fn code_of(error: &anyhow::Error) -> u8 {
    let causes = || error.chain();
    if causes().any(|cause| matches!(cause.downcast_ref(), Some(Failure::Declined(_)))) {
        return 1;
    }
    let usage = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<ConfigError>() || matches!(cause.downcast_ref(), Some(Failure::Usage(_)))
    };
    if causes().any(usage) { 2 } else { 3 }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn errors_choose_their_exit_code_through_any_context() {
        let failed = |failure: Failure| Err::<(), _>(failure).context("more").unwrap_err();
        assert_eq!(code_of(&failed(Failure::Declined("no".to_owned()))), 1);
        assert_eq!(code_of(&failed(Failure::Usage("no".to_owned()))), 2);
        assert_eq!(code_of(&anyhow!("broken")), 3);
    }
}
