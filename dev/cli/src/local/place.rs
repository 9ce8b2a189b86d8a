//! Where a stack lives: its data directory, the lock that says it runs, and the stack file that says where it is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use weir_stack::{Description, binaries, description};

/// Returns the data directory to use: the given one, else `.weir` in the workspace.
///
/// # Errors
/// A relative directory has no absolute form.
pub(crate) fn data_directory(given: Option<&Path>) -> Result<PathBuf> {
    match given {
        Some(path) => Ok(std::path::absolute(path)?),
        None => Ok(binaries::workspace().join(".weir")),
    }
}

/// Held by the process whose stack lives in a data directory, until it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock; `None` if another process has it.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub(crate) fn take(data: &Path) -> Result<Option<Self>> {
        fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
        let path = data.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// Tells whether a process holds the lock of the data directory.
pub(crate) fn is_running(data: &Path) -> bool {
    File::open(data.join("lock"))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

/// How `weir`'s commands find a stack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// By themselves.
    ByItself,
    /// Told by `WEIR_STACK`, because another stack that runs is found by itself.
    ByVariable,
}

/// Makes the stack the one that commands find by themselves, unless another runs.
///
/// # Errors
/// The stack file cannot be written.
pub(crate) fn announce(description: &Description) -> Result<Found> {
    let path = description::stack_file()?;
    // A stack file that cannot be read is nobody's.
    let other = Description::read(&path).unwrap_or(None);
    if other.is_some_and(|other| other.data != description.data && is_running(&other.data)) {
        return Ok(Found::ByVariable);
    }
    description.write(&path)?;
    Ok(Found::ByItself)
}

/// Removes the stack file if it describes the stack in this data directory, or nothing at all.
///
/// # Errors
/// The file cannot be removed.
pub(crate) fn withdraw(data: &Path) -> Result<()> {
    let path = description::stack_file()?;
    let ours = match Description::read(&path) {
        Ok(Some(description)) => description.data == data,
        Ok(None) => false,
        Err(_) => true,
    };
    if ours {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
