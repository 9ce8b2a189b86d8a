//! The command line: commands, flags and their help. Nothing happens here.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::exit;
use crate::output::Format;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default());

/// Product and web analytics in your own house: events in by HTTP, through Kafka, exactly once into
/// ClickHouse.
#[derive(Debug, Parser)]
#[command(name = "weir", version, styles = STYLES, after_help = exit::HELP, infer_subcommands = false)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// TOML file with settings [default: ./weir.toml if it is there]
    #[arg(long, value_name = "FILE", env = "WEIR_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Sets one setting, over file and environment: --set log.level=debug; `weir config show` lists
    /// them all
    #[arg(long, value_name = "NAME=VALUE", global = true)]
    pub(crate) set: Vec<String>,
}

/// How to print.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Format,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the collector: events by HTTP into Kafka
    Ingest(commands::ingest::IngestArgs),
    /// Runs the stream processor: Kafka into ClickHouse, exactly once
    Processor(commands::processor::ProcessorArgs),
    /// Creates and changes the tables in ClickHouse
    Migrate(commands::migrate::MigrateArgs),
    /// Creates the topics in Kafka
    #[command(subcommand)]
    Topics(commands::topics::TopicsCommand),
    /// Imports files as events
    #[command(subcommand)]
    Import(commands::import::ImportCommand),
    /// Shows page views, visitors and top pages
    Stats(commands::stats::StatsArgs),
    /// Proves that every record was stored exactly once and every rollup equals its events
    #[command(long_about = commands::verify::ABOUT)]
    Verify(commands::verify::VerifyArgs),
    /// Shows events as they come out of the processor
    #[command(subcommand)]
    Events(commands::events::EventsCommand),
    /// Shows records that did not become events, and why
    #[command(subcommand)]
    Failed(commands::failed::FailedCommand),
    /// Runs a query in ClickHouse as the reader
    Sql(commands::sql::SqlArgs),
    /// Shows and checks settings
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_has_help() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no help");
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{path} {}",
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(|sub| check(sub, &path));
        }
        let mut command = Cli::command();
        command.build();
        check(&command, "");
    }
}
