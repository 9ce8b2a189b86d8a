//! Task runner: `cargo dev`.
//!
//! The local stack lives in `weir-stack`; here are the commands around it.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod chaos;
mod demo;
mod lint;
mod local;
mod signals;

// The binary `weir` has the same: references of the benchmarks, which are processes of this one, must not differ in that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs Weir on this machine, for development.
#[derive(Debug, Parser)]
#[command(
    name = "cargo dev",
    bin_name = "cargo dev",
    version,
    max_term_width = 100
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds and starts Kafka, ClickHouse, migrations, topics and all roles
    Up(local::up::Up),
    /// Shows what runs, and whether it is ready
    Status(local::status::Status),
    /// Stops what `up` started
    Down(local::down::Down),
    /// Starts the stack, sends realistic traffic through it and prints the numbers
    Demo(demo::Demo),
    /// Measures a role beside references that do only the unavoidable
    Bench(bench::Bench),
    /// Breaks a stack under load by a seed, and proves after every few faults that nothing was lost or doubled
    Chaos(chaos::Chaos),
    /// Runs formatter, clippy and rustdoc, all with warnings denied
    Lint(lint::Lint),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Up(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Down(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Chaos(command) => command.run(),
        Command::Lint(command) => command.run(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
