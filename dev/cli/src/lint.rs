//! `cargo dev lint`: what must pass before a push, beside the tests.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result};
use weir_stack::binaries;

/// Runs formatter, clippy and rustdoc, all with warnings denied.
#[derive(Debug, clap::Args)]
pub(crate) struct Lint {}

/// One call of cargo, and a variable where warnings cannot be denied by an argument.
struct Check {
    arguments: &'static [&'static str],
    variable: Option<(&'static str, &'static str)>,
}

const CHECKS: [Check; 3] = [
    Check {
        arguments: &["fmt", "--all", "--check"],
        variable: None,
    },
    Check {
        arguments: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "--deny=warnings",
        ],
        variable: None,
    },
    Check {
        arguments: &["doc", "--workspace", "--no-deps"],
        variable: Some(("RUSTDOCFLAGS", "--deny=warnings")),
    },
];

impl Lint {
    /// Runs every check, also after one that failed.
    ///
    /// # Errors
    /// Cargo cannot be run.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut failed = Vec::new();
        for Check {
            arguments,
            variable,
        } in CHECKS
        {
            let name = format!("cargo {}", arguments.join(" "));
            let started = Instant::now();
            let status = Command::new(&cargo)
                .args(arguments)
                .envs(variable)
                .current_dir(binaries::workspace())
                .status()
                .with_context(|| format!("cannot run `{name}`"))?;
            let verdict = if status.success() { "passed" } else { "FAILED" };
            eprintln!(
                "{verdict}: {name} ({:.1} s)",
                started.elapsed().as_secs_f64()
            );
            if !status.success() {
                failed.push(name);
            }
        }
        if failed.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("failed: {}", failed.join("; "));
        Ok(ExitCode::FAILURE)
    }
}
