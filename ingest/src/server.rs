//! The listener for SDKs: bounded connections, time limits on heads, and an end that loses no request.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::collect::Peer;

#[cfg(test)]
mod tests;

/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// How long to wait after the system had no connection to give, as when it is out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Limits of the listener.
#[derive(Debug, Clone)]
pub(crate) struct ServerLimits {
    /// Most open connections.
    pub(crate) connections: usize,
    /// Longest time for a request's head, also when the connection was idle before.
    pub(crate) head_timeout: Duration,
    /// Longest time for requests under way to end after the shutdown.
    pub(crate) drain_timeout: Duration,
}

/// Serves until `shutdown`, then lets requests under way end; returns how much of the time for that is left.
///
/// # Cancel safety
///
/// Dropping the future stops accepting; connections go on until their clients close them.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    open: IntGauge,
    shutdown: CancellationToken,
) -> Duration {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let tracker = TaskTracker::new();
    let abort = CancellationToken::new();
    loop {
        // Taken before the connection is, so that what is too much waits in the system's queue.
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let connection = Connection {
                    router: router.clone(),
                    peer,
                    head_timeout: limits.head_timeout,
                    shutdown: shutdown.clone(),
                    abort: abort.clone(),
                };
                let open = open.clone();
                open.inc();
                tracker.spawn(async move {
                    connection.serve(stream).await;
                    open.dec();
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    tracker.close();
    let started = Instant::now();
    if tokio::time::timeout(limits.drain_timeout, tracker.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            connections = tracker.len(),
            "requests were cut off at the end, unanswered"
        );
        abort.cancel();
        tracker.wait().await;
    }
    limits.drain_timeout.saturating_sub(started.elapsed())
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Peer, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, Peer(peer.ip()), permit))
}

struct Connection {
    router: Router,
    peer: Peer,
    head_timeout: Duration,
    shutdown: CancellationToken,
    abort: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Answers are small; waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        let (router, peer) = (self.router, self.peer);
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.clone().oneshot(request.map(Body::new))
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.head_timeout)
                .max_buf_size(MAX_HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = self.abort.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::trace!(%error, "a connection broke");
        }
    }
}
