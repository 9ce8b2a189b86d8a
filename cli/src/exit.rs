//! How a command ends: its exit code, and the errors that choose one.

use std::process::ExitCode;

use weir_common::config::ConfigError;
use weir_common::telemetry::LogError;

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
        use weir_ingest::Error as Ingest;
        use weir_processor::Error as Processor;
        cause.is::<ConfigError>()
            || cause.is::<LogError>()
            || matches!(cause.downcast_ref(), Some(Failure::Usage(_)))
            || matches!(
                cause.downcast_ref(),
                Some(Ingest::Config(_) | Ingest::Sources(_) | Ingest::Kafka(_))
            )
            || matches!(
                cause.downcast_ref(),
                Some(Processor::Config(_) | Processor::UnknownTopic(..) | Processor::Schemas(_))
            )
    };
    if causes().any(usage) { 2 } else { 3 }
}

/// Returns an error with its causes, leaving out those whose text an outer one repeats.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Returns what to do about an error, where its message does not say so itself.
pub(crate) fn hint(error: &anyhow::Error) -> Option<&'static str> {
    const UNKNOWN_TABLE: u32 = 60;
    const UNKNOWN_DATABASE: u32 = 81;
    const AUTHENTICATION: [u32; 4] = [192, 193, 194, 516];
    let mut causes = error.chain();
    causes.find_map(|cause| match cause.downcast_ref()? {
        weir_clickhouse::Error::Server { code, .. } => match *code {
            UNKNOWN_TABLE | UNKNOWN_DATABASE => Some("`weir migrate up` creates database and tables"),
            code if AUTHENTICATION.contains(&code) => {
                Some("check clickhouse.user and clickhouse.password (`weir config show`)")
            }
            _ => None,
        },
        weir_clickhouse::Error::Transport(_) | weir_clickhouse::Error::Timeout { .. } => {
            Some("check that it runs; `cargo dev up` starts a local stack, which commands find by themselves")
        }
        _ => None,
    })
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

    #[test]
    fn a_cause_that_is_told_already_is_left_out() {
        let error = anyhow!("in use")
            .context("cannot listen: in use")
            .context("ingest");
        assert_eq!(describe(&error), "ingest: cannot listen: in use");
        let error = anyhow!("refused").context("cannot connect");
        assert_eq!(describe(&error), "cannot connect: refused");
    }

    #[test]
    fn settings_that_a_role_refuses_are_usage_errors() {
        let config = weir_ingest::IngestConfig {
            max_requests: 0,
            ..weir_ingest::IngestConfig::default()
        };
        let refused = weir_ingest::Error::from(config.check().unwrap_err());
        assert_eq!(code_of(&anyhow!(refused)), 2);
    }

    #[test]
    fn missing_tables_and_wrong_passwords_come_with_a_hint() {
        let hint_for = |code| {
            let message = String::new();
            hint(&anyhow!(weir_clickhouse::Error::Server { code, message }).context("more"))
        };
        assert!(hint_for(60).unwrap().contains("weir migrate up"));
        assert!(hint_for(516).unwrap().contains("clickhouse.password"));
        assert_eq!(hint_for(62), None);
    }
}
