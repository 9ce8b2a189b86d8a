//! The local stack that `cargo dev up` started, found by its state file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// What the state file says that commands use; it says more.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LocalStack {
    /// Where it was read from.
    #[serde(skip)]
    pub(crate) path: PathBuf,
    kafka: String,
    clickhouse: StackClickHouse,
    /// Address of the collector.
    #[serde(default)]
    pub(crate) ingest: Option<String>,
    /// Write keys by source.
    #[serde(default)]
    pub(crate) write_keys: BTreeMap<String, String>,
    #[serde(default)]
    sources: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct StackClickHouse {
    url: String,
    user: String,
    password: String,
    database: String,
    reader: String,
    reader_password: String,
}

impl LocalStack {
    /// Returns where the state file of the running stack is: `WEIR_STACK`, else below
    /// `XDG_STATE_HOME` or `~/.local/state`.
    pub(crate) fn default_path(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        if let Some(path) = set("WEIR_STACK") {
            return Some(path.into());
        }
        let state = match set("XDG_STATE_HOME") {
            Some(state) => PathBuf::from(state),
            None => PathBuf::from(set("HOME")?).join(".local/state"),
        };
        Some(state.join("weir/stack.json"))
    }

    /// Reads the state file; `None` when no stack runs.
    ///
    /// # Errors
    /// Fails if the file is there but not readable.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let context = format!("cannot read the local stack's file {}", path.display());
                return Err(error).context(context);
            }
        };
        let mut stack: Self = serde_json::from_str(&text).with_context(|| {
            let path = path.display();
            format!("{path} does not describe a local stack; `cargo dev down` removes it")
        })?;
        stack.path = path.to_owned();
        Ok(Some(stack))
    }

    /// Returns the settings that the stack brings.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let clickhouse = &self.clickhouse;
        let mut settings = vec![
            ("kafka.brokers", self.kafka.clone()),
            ("clickhouse.url", clickhouse.url.clone()),
            ("clickhouse.user", clickhouse.user.clone()),
            ("clickhouse.password", clickhouse.password.clone()),
            ("clickhouse.database", clickhouse.database.clone()),
            ("clickhouse.reader_user", clickhouse.reader.clone()),
            (
                "clickhouse.reader_password",
                clickhouse.reader_password.clone(),
            ),
        ];
        if let Some(sources) = &self.sources {
            settings.push(("ingest.sources", sources.clone()));
        }
        let named = settings.into_iter();
        named
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(variables: &[(&str, &str)]) -> Option<PathBuf> {
        LocalStack::default_path(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_file_is_looked_for_where_state_belongs() {
        assert_eq!(path(&[]), None);
        let home = ("HOME", "/home/me");
        assert_eq!(
            path(&[home]),
            Some("/home/me/.local/state/weir/stack.json".into())
        );
        let state = ("XDG_STATE_HOME", "/state");
        assert_eq!(path(&[home, state]), Some("/state/weir/stack.json".into()));
        let stack = ("WEIR_STACK", "/run/stack.json");
        assert_eq!(path(&[home, state, stack]), Some("/run/stack.json".into()));
    }

    #[test]
    fn a_file_that_is_not_there_is_no_stack() {
        assert!(
            LocalStack::read(Path::new("/nowhere/stack.json"))
                .unwrap()
                .is_none()
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}").unwrap();
        let error = LocalStack::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("does not describe a local stack"), "{error}");
    }
}
