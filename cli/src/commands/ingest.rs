//! `weir ingest`: settings, listeners, signals around the collector.

use anyhow::Result;
use clap::Args;
use weir_common::shutdown;
use weir_ingest::Listeners;

use crate::exit::Outcome;
use crate::settings::{Settings, help_for};

/// Flags of `weir ingest`; every other setting has a variable and a place in the TOML file.
#[derive(Debug, Args)]
#[command(after_long_help = help_for(&["ingest", "kafka", "log"]))]
pub(crate) struct IngestArgs {
    /// Address and port for SDKs; port 0 takes a free one, which the log names [env: WEIR_INGEST_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address and port for metrics and health [env: WEIR_INGEST_METRICS_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<String>,
    /// File that names sources and their write keys [env: WEIR_INGEST_SOURCES]
    #[arg(long, value_name = "FILE")]
    sources: Option<String>,
}

/// Runs the collector until a signal.
///
/// # Errors
/// Those of settings and of the collector's start.
pub(crate) async fn run(mut settings: Settings, args: IngestArgs) -> Result<Outcome> {
    settings.flag("--listen", "ingest.listen", args.listen.as_deref())?;
    settings.flag(
        "--metrics-listen",
        "ingest.metrics_listen",
        args.metrics_listen.as_deref(),
    )?;
    settings.flag("--sources", "ingest.sources", args.sources.as_deref())?;
    let (config, kafka) = (settings.ingest()?, settings.kafka()?);
    let shutdown = shutdown::on_signals()?;
    let listeners = Listeners::bind(&config).await?;
    weir_ingest::run(config, kafka, listeners, shutdown).await?;
    Ok(Outcome::Fine)
}
