//! The directory of a stack: data of Kafka and ClickHouse, logs, credentials.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::watchdog;

/// A directory that is kept, or a temporary one that goes with this value and at the latest with this process.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl DataDir {
    /// Creates the named directory if need be, or a temporary one.
    pub(crate) fn open(path: Option<PathBuf>) -> Result<Self> {
        match path {
            Some(path) => {
                std::fs::create_dir_all(&path)
                    .with_context(|| format!("cannot create {}", path.display()))?;
                let path = path.canonicalize()?;
                Ok(Self {
                    path,
                    _temporary: None,
                })
            }
            None => {
                let temporary = tempfile::Builder::new().prefix("weir-stack-").tempdir()?;
                watchdog::remove_at_exit(temporary.path())?;
                Ok(Self {
                    path: temporary.path().to_path_buf(),
                    _temporary: Some(temporary),
                })
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the log file of a child.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }
}
