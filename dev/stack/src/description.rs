//! What others need to know of a running stack: the object of `cargo dev up --json`, which is also the stack file.
//!
//! The stack file is how `weir`'s commands find the local stack by themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::sources::write_private;

/// Addresses, keys and processes of a running stack. Later versions may add fields.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Description {
    /// `host:port` of the broker.
    pub kafka: String,
    /// How to reach ClickHouse.
    pub clickhouse: ClickHouseAccess,
    /// Address of the collector, `http://…`.
    pub ingest: String,
    /// Write key of each source.
    pub write_keys: BTreeMap<String, String>,
    /// Address of each role's listener for metrics and health, `http://…`.
    pub metrics: BTreeMap<String, String>,
    /// The sources file.
    pub sources: PathBuf,
    /// Number of each process.
    pub pids: BTreeMap<String, u32>,
    /// The data directory.
    pub data: PathBuf,
}

/// How to reach ClickHouse, as the user who may do everything and as the reader.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ClickHouseAccess {
    /// Address of the HTTP interface.
    pub url: String,
    /// The user who may do everything.
    pub user: String,
    /// Password of `user`.
    pub password: String,
    /// The user with `readonly=1`.
    pub reader: String,
    /// Password of `reader`.
    pub reader_password: String,
    /// The database of this stack.
    pub database: String,
}

impl Description {
    /// Writes the description to a file only this user can read, in place of an older one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        write_private(path, &format!("{}\n", serde_json::to_string(self)?))
    }

    /// Reads a description; `None` if there is no such file.
    ///
    /// # Errors
    /// The file cannot be read or is no description.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{} is no stack file", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

/// Returns where `weir` looks for the local stack: `WEIR_STACK`, or `weir/stack.json` in the state directory.
///
/// # Errors
/// There is neither `WEIR_STACK` nor `XDG_STATE_HOME` nor a home directory.
pub fn stack_file() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = set("WEIR_STACK") {
        return Ok(PathBuf::from(path));
    }
    let state = match set("XDG_STATE_HOME") {
        Some(state) => PathBuf::from(state),
        None => std::env::home_dir()
            .context("no home directory for the stack file: set WEIR_STACK")?
            .join(".local/state"),
    };
    Ok(state.join("weir").join("stack.json"))
}
