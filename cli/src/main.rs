//! The binary `weir`: every role and every command, wired to settings, signals and exit codes.
//!
//! What the roles do lives in their libraries.

mod cli;
mod commands;
mod exit;
mod http;
mod import;
mod output;
mod settings;
mod stack;
mod text;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use weir_common::telemetry::init_logging;

use cli::{Cli, Command, Global};
use exit::Outcome;
use settings::{Settings, Sources};
use stack::LocalStack;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Level of commands that print results: their log would only be in the way.
const QUIET: &str = "error,rdkafka=off,librdkafka=off";

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            let hint = exit::hint(&error).map_or_else(String::new, |hint| format!("\n  {hint}"));
            let told = exit::describe(&error);
            let told = text::show_lines(told.as_bytes());
            // Nothing is left to be told if stderr is closed.
            drop(writeln!(std::io::stderr(), "weir: {told}{hint}"));
            ExitCode::from(exit::code_of(&error))
        }
    }
}

fn start(cli: Cli) -> Result<Outcome> {
    let settings = Settings::load(sources(cli.global))?;
    let quiet = (!cli.command.is_role()).then_some(QUIET);
    init_logging(&settings.log(quiet)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(cli.command.run(settings));
    // Blocking calls into librdkafka that nobody waits for must not hold up the exit.
    runtime.shutdown_background();
    outcome
}

fn sources(global: Global) -> Sources {
    let variable = |name: &str| std::env::var(name).ok();
    Sources {
        file: settings::file_to_read(global.config),
        stack: LocalStack::default_path(variable),
        // Variables that are not UTF-8 are not Weir's.
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        set: global.set,
    }
}

impl Command {
    fn is_role(&self) -> bool {
        matches!(self, Self::Ingest(_) | Self::Processor(_))
    }

    async fn run(self, settings: Settings) -> Result<Outcome> {
        match self {
            Self::Ingest(args) => commands::ingest::run(settings, args).await,
            Self::Processor(args) => commands::processor::run(settings, args).await,
            Self::Migrate(args) => commands::migrate::run(&settings, args).await,
            Self::Topics(command) => commands::topics::run(&settings, command).await,
            Self::Import(command) => commands::import::run(&settings, command).await,
            Self::Stats(args) => commands::stats::run(&settings, args).await,
            Self::Verify(args) => commands::verify::run(&settings, args).await,
            Self::Events(command) => commands::events::run(&settings, command).await,
            Self::Failed(command) => commands::failed::run(&settings, command).await,
            Self::Sql(args) => commands::sql::run(&settings, args).await,
            Self::Config(command) => commands::config::run(&settings, &command),
        }
    }
}
