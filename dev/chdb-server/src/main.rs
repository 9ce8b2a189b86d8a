//! ClickHouse's HTTP interface over libchdb, for development and tests.
//!
//! A request becomes a [`request::Request`], is let in by [`admission`], and is run by [`statement`] on a blocking thread in a session
//! of its own ([`engine`], [`ffi`]); what it writes into its [`answer`] goes back through [`http`].

mod admission;
mod answer;
mod args;
mod blocks;
mod body;
mod encoder;
mod engine;
mod exception;
mod ffi;
mod formats;
mod http;
mod request;
mod server;
mod sql;
mod statement;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The engine checks how much stack is left and wants as much as a main thread has, in bytes.
const STACK_BYTES: usize = 8 << 20;
/// Threads for starting, killing and stopping, besides those of the statements.
const SPARE_THREADS: usize = 8;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-chdb-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: args::Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(args.connections as usize + SPARE_THREADS)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()?;
    let shutdown = CancellationToken::new();
    let outcome = runtime.block_on(async {
        // Before the engine starts: it must not find the default behaviour, and none of its own is wanted.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.cancel();
        });
        if args.until_stdin_closes {
            let stop = shutdown.clone();
            std::thread::spawn(move || {
                let _read = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
                stop.cancel();
            });
        }
        server::run(args, shutdown).await
    });
    runtime.shutdown_background();
    outcome
}
