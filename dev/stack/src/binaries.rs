//! Builds the workspace's own binaries, so that the stack never runs a stale one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{process, progress};

/// Cargo's profile to build with.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Profile {
    /// `dev`, cargo's default.
    Dev,
    /// `--release`.
    Release,
}

impl Default for Profile {
    /// Returns the profile this library itself was built with.
    fn default() -> Self {
        if cfg!(debug_assertions) {
            Self::Dev
        } else {
            Self::Release
        }
    }
}

/// A binary of the workspace.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Binary {
    /// The shipped binary with all roles.
    Weir,
    /// ClickHouse's HTTP interface over its engine.
    ChdbServer,
    /// The task runner `cargo dev` itself, for measurements that a debug build would spoil.
    Dev,
}

impl Binary {
    fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::ChdbServer => "weir-chdb-server",
            Self::Dev => "weir-dev",
        }
    }
}

/// What this process built already; a binary is built once per process.
static BUILT: Mutex<BTreeMap<(Binary, Profile), PathBuf>> = Mutex::new(BTreeMap::new());

/// Builds the binaries by cargo and returns their paths in the same order.
///
/// # Errors
/// They do not compile; cargo's own output is on standard error.
pub fn binaries(wanted: &[Binary], profile: Profile) -> Result<Vec<PathBuf>> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<Binary> = wanted
        .iter()
        .copied()
        .filter(|binary| !built.contains_key(&(*binary, profile)))
        .collect();
    if !missing.is_empty() {
        for (binary, path) in build(&missing, profile)? {
            built.insert((binary, profile), path);
        }
    }
    wanted
        .iter()
        .map(|binary| {
            built
                .get(&(*binary, profile))
                .cloned()
                .with_context(|| format!("cargo named no executable for {}", binary.name()))
        })
        .collect()
}

/// Returns the root of the workspace this library was built from.
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .ancestors()
        .nth(2)
        .unwrap_or(manifest)
        .to_path_buf()
}

fn build(wanted: &[Binary], profile: Profile) -> Result<Vec<(Binary, PathBuf)>> {
    let started = Instant::now();
    let workspace = workspace();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command
        // With the whole workspace's features, as `cargo test --workspace` has built them, or all would be compiled again.
        .args([
            "build",
            "--workspace",
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(&workspace)
        .stderr(Stdio::inherit());
    for binary in wanted {
        command.args(["--bin", binary.name()]);
    }
    if profile == Profile::Release {
        command.arg("--release");
    }
    // What cargo tells the program it runs is for that program: the build script of `ring` looks at some of it, and would
    // compile everything above it again after every change between `cargo dev` and plain cargo.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let output = process::output(&mut command).with_context(|| {
        format!(
            "cannot run {}: the stack builds Weir's binaries with cargo",
            cargo.display()
        )
    })?;
    let names: Vec<&str> = wanted.iter().map(|binary| binary.name()).collect();
    if !output.status.success() {
        bail!(
            "cargo could not build {} in {}",
            names.join(" and "),
            workspace.display()
        );
    }
    // A build that had nothing to do is not worth a line.
    if started.elapsed() > Duration::from_secs(2) {
        progress::step(&format!("built {}", names.join(" and ")), started);
    }
    Ok(executables(&output.stdout, wanted))
}

/// Picks the executables out of cargo's messages, which also know where a configured target directory is.
fn executables(messages: &[u8], wanted: &[Binary]) -> Vec<(Binary, PathBuf)> {
    #[derive(serde::Deserialize)]
    struct Message {
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(serde::Deserialize)]
    struct Target {
        name: String,
    }
    String::from_utf8_lossy(messages)
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .filter_map(|(name, path)| {
            let binary = wanted.iter().find(|binary| binary.name() == name)?;
            Some((*binary, path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_among_cargos_messages() {
        let messages =
            br#"{"reason":"compiler-artifact","target":{"name":"serde"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"weir"},"executable":"/target/debug/weir"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(
            executables(messages, &[Binary::Weir]),
            [(Binary::Weir, PathBuf::from("/target/debug/weir"))]
        );
    }
}
