//! Logs: one line each to stderr, as text for people or JSON for machines.

use std::io::{self, IsTerminal};

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Section `[log]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Least severe level to write, or a list of directives such as `info,weir_processor=debug`.
    /// `WEIR_LOG_LEVEL`.
    pub level: String,
    /// `text` or `json`. `WEIR_LOG_FORMAT`.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; coloured on a terminal unless `NO_COLOR` is set.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is no list of directives.
    #[error(
        "setting log.level \"{level}\" is not a level such as \"info\" or a list of directives"
    )]
    Level {
        /// The text as set.
        level: String,
        /// The parser's reason.
        source: ParseError,
    },
    /// A subscriber is installed already.
    #[error("logging was set up twice")]
    Twice,
}

/// Sends this process's logs to stderr.
///
/// # Errors
/// Fails if the level is not valid or logging was set up before.
pub fn init_logging(config: &LogConfig) -> Result<(), LogError> {
    let filter = EnvFilter::builder()
        .parse(&config.level)
        .map_err(|source| LogError::Level {
            level: config.level.clone(),
            source,
        })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let set = match config.format {
        LogFormat::Text => subscriber
            .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    set.map_err(|_| LogError::Twice)
}
