//! `weir config`: what the settings are and where each came from.

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;
use weir_common::config::{Setting, is_secret};

use crate::cli::Output;
use crate::exit::Outcome;
use crate::output::{self, Format, Rows};
use crate::settings::{Settings, meaning, variable};

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Shows every effective setting, where it came from, its variable and its meaning; secrets are
    /// not shown
    Show {
        #[command(flatten)]
        output: Output,
    },
    /// Checks every setting without starting anything; exit code 2 names the first one that is wrong
    Check,
}

#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    value: serde_json::Value,
    from: String,
    variable: String,
    meaning: &'static str,
}

/// Runs the command.
///
/// # Errors
/// Names a setting that is wrong.
pub(crate) fn run(settings: &Settings, command: &ConfigCommand) -> Result<Outcome> {
    match command {
        ConfigCommand::Show { output } => show(settings, output.output)?,
        ConfigCommand::Check => {
            settings.kafka()?;
            settings.clickhouse()?;
            settings.ingest()?;
            settings.processor()?;
            settings.log(None)?;
            output::line("All settings are valid.")?;
        }
    }
    Ok(Outcome::Fine)
}

fn show(settings: &Settings, format: Format) -> Result<()> {
    let shown: Vec<Shown> = settings.all().into_iter().map(Shown::new).collect();
    match format {
        Format::Json => output::json(&shown)?,
        Format::Table => {
            let mut rows = Rows::new(["setting", "value", "from", "meaning"]);
            for setting in shown {
                let value = setting.value.to_string();
                rows.add([
                    setting.name,
                    value,
                    setting.from,
                    setting.meaning.to_owned(),
                ]);
            }
            output::table(&rows)?;
        }
    }
    Ok(())
}

impl Shown {
    fn new(setting: Setting) -> Self {
        Self {
            variable: variable(&setting.name),
            meaning: meaning(&setting.name).unwrap_or_default(),
            value: redact(&setting),
            name: setting.name,
            from: setting.origin,
        }
    }
}

/// Hides values of secrets that are set, and passwords inside addresses.
fn redact(setting: &Setting) -> serde_json::Value {
    let Some(text) = setting.value.as_str() else {
        return setting.value.clone();
    };
    if is_secret(&setting.name) && !text.is_empty() {
        return "***".into();
    }
    match text.split_once("://") {
        Some((scheme, rest))
            if rest
                .split('/')
                .next()
                .is_some_and(|host| host.contains('@')) =>
        {
            let host = rest.split_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://***@{host}").into()
        }
        _ => setting.value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(name: &str, value: &str) -> String {
        let setting = Setting {
            name: name.to_owned(),
            value: value.into(),
            origin: String::new(),
        };
        redact(&setting).as_str().unwrap().to_owned()
    }

    #[test]
    fn secrets_are_hidden_wherever_they_are() {
        assert_eq!(redacted("clickhouse.password", "hush"), "***");
        assert_eq!(redacted("clickhouse.reader_password", "hush"), "***");
        assert_eq!(redacted("clickhouse.password", ""), "");
        assert_eq!(redacted("kafka.client.sasl.password", "hush"), "***");
        assert_eq!(
            redacted("clickhouse.url", "http://me:hush@host:1/x"),
            "http://***@host:1/x"
        );
        assert_eq!(
            redacted("clickhouse.url", "http://host:1/a@b"),
            "http://host:1/a@b"
        );
        assert_eq!(redacted("kafka.brokers", "host:1"), "host:1");
    }
}
