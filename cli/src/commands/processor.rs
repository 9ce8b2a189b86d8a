//! `weir processor`: settings, listener, signals around the stream processor.

use anyhow::{Context, Result};
use clap::Args;
use tokio::net::TcpListener;
use weir_common::shutdown;

use crate::exit::Outcome;
use crate::settings::{Settings, help_for};

/// Flags of `weir processor`; every other setting has a variable and a place in the TOML file.
#[derive(Debug, Args)]
#[command(after_long_help = help_for(&["processor", "kafka", "clickhouse", "log"]))]
pub(crate) struct ProcessorArgs {
    /// Address and port for metrics and health; port 0 takes a free one, which the log names
    /// [env: WEIR_PROCESSOR_METRICS_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<String>,
    /// Consumer group [env: WEIR_PROCESSOR_GROUP]
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

/// Runs the processor until a signal.
///
/// # Errors
/// Those of settings and of the processor's start.
pub(crate) async fn run(mut settings: Settings, args: ProcessorArgs) -> Result<Outcome> {
    settings.flag(
        "--metrics-listen",
        "processor.metrics_listen",
        args.metrics_listen.as_deref(),
    )?;
    settings.flag("--group", "processor.group", args.group.as_deref())?;
    let config = settings.processor()?;
    let (kafka, clickhouse) = (settings.kafka()?, settings.clickhouse()?);
    let shutdown = shutdown::on_signals()?;
    let listener = TcpListener::bind(&config.metrics_listen)
        .await
        .with_context(|| {
            let address = &config.metrics_listen;
            format!("setting processor.metrics_listen: {address} cannot be listened on")
        })?;
    let address = listener.local_addr()?;
    tracing::info!(metrics_listen = %address, "processor is up");
    weir_processor::run(config, kafka, clickhouse, listener, shutdown).await?;
    Ok(Outcome::Fine)
}
