//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// ClickHouse's HTTP interface over libchdb, ClickHouse's engine as a library: for development and tests.
///
/// One process, one directory, no installation. It answers queries, inserts, settings, parameters, compression and errors as
/// clickhouse-server does; where it differs stands in its README. When it is ready it prints one line on standard output,
/// `listening on http://ADDRESS`.
#[derive(Clone, Parser)]
#[command(name = "weir-chdb-server", version)]
pub(crate) struct Args {
    /// Address and port; port 0 takes a free one
    #[arg(
        long,
        env = "WEIR_CHDB_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8123"
    )]
    pub(crate) listen: String,

    /// Directory for the tables, created when missing, used by one server at a time
    #[arg(long, env = "WEIR_CHDB_PATH", value_name = "DIR")]
    pub(crate) path: PathBuf,

    /// The engine, libchdb.so
    #[arg(long, env = "WEIR_LIBCHDB", value_name = "FILE")]
    pub(crate) lib: PathBuf,

    /// Name of the user who may do everything
    #[arg(
        long,
        env = "WEIR_CHDB_USER",
        value_name = "NAME",
        default_value = "default"
    )]
    pub(crate) admin_user: String,

    /// Their password
    #[arg(
        long,
        env = "WEIR_CHDB_PASSWORD",
        value_name = "TEXT",
        default_value = "",
        hide_env_values = true
    )]
    pub(crate) admin_password: String,

    /// Name of the user who may only read (readonly=1)
    #[arg(
        long,
        env = "WEIR_CHDB_READER",
        value_name = "NAME",
        default_value = "reader"
    )]
    pub(crate) reader_user: String,

    /// Their password
    #[arg(
        long,
        env = "WEIR_CHDB_READER_PASSWORD",
        value_name = "TEXT",
        default_value = "",
        hide_env_values = true
    )]
    pub(crate) reader_password: String,

    /// How many statements run at once
    #[arg(long, env = "WEIR_CHDB_CONNECTIONS", value_name = "N", default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) connections: u32,

    /// How many more statements wait before others are turned away (code 202)
    #[arg(long, env = "WEIR_CHDB_QUEUE", value_name = "N", default_value_t = 256)]
    pub(crate) queue: usize,

    /// File to write the address to when ready
    #[arg(long, env = "WEIR_CHDB_READY_FILE", value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,

    /// End as by SIGTERM when standard input closes, hence with the parent process, however that ends
    #[arg(long)]
    pub(crate) until_stdin_closes: bool,

    /// How long statements may go on after SIGTERM or SIGINT before they are cancelled, in seconds
    #[arg(long, env = "WEIR_CHDB_SHUTDOWN_TIMEOUT", value_name = "SECONDS", default_value = "5",
        value_parser = seconds)]
    pub(crate) shutdown_timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }
}
