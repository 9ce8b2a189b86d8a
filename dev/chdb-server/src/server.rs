//! Start and end of the server.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::args::Args;
use crate::body::{Budget, MAX_BODY_BYTES};
use crate::engine::Engine;
use crate::http::{self, Server};
use crate::request::Credentials;

/// Bodies may take this many times the largest one, all together.
const BODIES: usize = 4;
/// How long killed statements may take to notice.
const KILL_GRACE: Duration = Duration::from_secs(10);

/// Serves until `shutdown`, then lets running statements end and closes the engine.
///
/// # Errors
/// The directory is in use, the engine does not start, the address cannot be bound.
pub(crate) async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.path)
        .with_context(|| format!("cannot create the data directory {}", args.path.display()))?;
    let _lock = lock(&args.path)?;
    // Bound first: a taken address is found out before the engine starts.
    let listener = TcpListener::bind(&args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let (library, path) = (args.lib.clone(), args.path.clone());
    let engine = tokio::task::spawn_blocking(move || Engine::start(&library, &path)).await??;
    let engine = Arc::new(engine);
    let server = Arc::new(Server {
        engine: Arc::clone(&engine),
        credentials: Credentials {
            admin: args.admin_user,
            admin_password: args.admin_password,
            reader: args.reader_user,
            reader_password: args.reader_password,
        },
        admission: Admission::new(args.connections, args.queue),
        budget: Budget::new(BODIES * MAX_BODY_BYTES),
        statements: TaskTracker::new(),
        display_name: "weir-chdb-server".to_owned(),
    });
    let url = format!("http://{address}");
    tracing::info!(
        url,
        path = %args.path.display(),
        engine = engine.version(),
        connections = args.connections,
        "ready"
    );
    announce(&url, args.ready_file.as_deref())?;
    serve(listener, &server, shutdown, args.shutdown_timeout).await?;
    tokio::task::spawn_blocking(move || engine.stop()).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn serve(
    listener: TcpListener,
    server: &Arc<Server>,
    shutdown: CancellationToken,
    timeout: Duration,
) -> anyhow::Result<()> {
    let router = Router::new()
        .fallback(http::handle)
        .with_state(Arc::clone(server));
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "cannot switch off Nagle's algorithm");
        }
    });
    let stop = shutdown.clone();
    let serving =
        axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
    let serving = tokio::spawn(serving.into_future());
    shutdown.cancelled().await;
    tracing::info!("stopping");
    server.statements.close();
    let ended = async {
        let served = serving.await;
        server.statements.wait().await;
        served
    };
    tokio::pin!(ended);
    if let Ok(served) = tokio::time::timeout(timeout, &mut ended).await {
        return Ok(served??);
    }
    tracing::warn!("statements still run: they are cancelled");
    server.admission.close();
    let engine = Arc::clone(&server.engine);
    tokio::task::spawn_blocking(move || engine.kill(None)).await??;
    match tokio::time::timeout(KILL_GRACE, ended).await {
        Ok(served) => Ok(served??),
        // Ending the process now is as safe as a crash, and those are survived.
        Err(_) => bail!("cancelled statements do not end"),
    }
}

/// Two engines on one directory would destroy it. The lock goes with the process, however that ends.
fn lock(path: &Path) -> anyhow::Result<File> {
    let file = path.join("weir-chdb-server.lock");
    let lock = File::create(&file).with_context(|| format!("cannot write {}", file.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!(
            "the data directory {} is in use by another weir-chdb-server",
            path.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", file.display()))
        }
    }
}

/// Tells a parent process where to connect.
fn announce(url: &str, ready_file: Option<&Path>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    // A parent that does not read is no reason to end.
    let _unread = writeln!(out, "listening on {url}").and_then(|()| out.flush());
    if let Some(file) = ready_file {
        let partial = file.with_extension("partial");
        std::fs::write(&partial, format!("{url}\n"))
            .and_then(|()| std::fs::rename(&partial, file))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
