//! The line under an insert: it is cut, not hung up, when an insert on it was not answered.
//!
//! A closed socket goes on sending what lies in its buffer, for minutes if need be. An insert that its sender gave up
//! must not arrive like that, so a line throws its buffer away when it is closed, and when the process is killed.

use std::future::poll_fn;
use std::io;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::Connection;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A stream to the server, with or without TLS.
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Driver = Connection<Stream, Full<Bytes>>;

/// A connection that is being driven.
#[derive(Debug)]
pub(super) struct Line {
    driver: JoinHandle<()>,
    release: Option<oneshot::Sender<()>>,
}

impl Line {
    /// Drives a connection until it ends or is hung up.
    pub(super) fn run(driver: Driver) -> Self {
        let (release, released) = oneshot::channel();
        Self {
            driver: tokio::spawn(drive(driver, released)),
            release: Some(release),
        }
    }

    /// Closes the connection: a free one as usual, any other at once and with the loss of what was not sent yet.
    pub(super) fn hang_up(&mut self, is_free: bool) {
        match self.release.take() {
            Some(release) if is_free => drop(release.send(())),
            _ => self.driver.abort(),
        }
    }
}

/// Makes a stream throw its buffer away when it is closed.
pub(super) fn close_hard(stream: &Stream) -> io::Result<()> {
    tcp(stream).set_zero_linger()
}

/// Makes a stream close as streams do, so that no server takes it for a failure.
#[expect(deprecated, reason = "no linger is set, it is taken off")]
fn close_gently(stream: &Stream) -> io::Result<()> {
    tcp(stream).set_linger(None)
}

async fn drive(mut driver: Driver, released: oneshot::Receiver<()>) {
    tokio::select! {
        // A line that is hung up also ends by itself, for nobody can send on it any more.
        biased;
        Ok(()) = released => {
            if let Err(error) = close_gently(&driver.into_parts().io) {
                tracing::debug!(%error, "connection to clickhouse is closed hard");
            }
        }
        // Without the usual shutdown, which would wait for the buffer to be sent.
        ended = poll_fn(|cx| driver.poll_without_shutdown(cx)) => {
            if let Err(error) = ended {
                // The request that was on the connection reports it too.
                tracing::debug!(%error, "connection to clickhouse broke");
            }
        }
    }
}

fn tcp(stream: &Stream) -> &TcpStream {
    match stream {
        MaybeHttpsStream::Http(plain) => plain.inner(),
        MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner().inner(),
    }
}
