//! Real connections, with memory in Kafka's place.

use std::net::SocketAddr;

use prometheus::IntGauge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use weir_common::telemetry::Metrics;

use super::*;
use crate::collect::Collector;
use crate::config::IngestConfig;
use crate::metrics::IngestMetrics;
use crate::router::router;
use crate::sink::memory::{MemorySink, Mode};
use crate::sources::Sources;
use crate::visitor::VisitorSecret;

const SOURCES: &str = "[[source]]\nid = \"s\"\nplatform = \"web\"\n[[source.key]]\nkey = \"0123456789abcdef\"\nclass = \"browser\"";

const EVENT: &str =
    "POST /v1/track?writeKey=0123456789abcdef HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";

struct Server {
    address: SocketAddr,
    sink: MemorySink,
    shutdown: CancellationToken,
    open: IntGauge,
    task: JoinHandle<Duration>,
}

fn limits() -> ServerLimits {
    ServerLimits {
        connections: 100,
        head_timeout: Duration::from_secs(10),
        drain_timeout: Duration::from_secs(10),
    }
}

async fn start(limits: ServerLimits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = IngestMetrics::new(&Metrics::new("ingest", "test").unwrap()).unwrap();
    let open = metrics.connections.clone();
    let sink = MemorySink::new();
    let collector = Collector::new(
        &IngestConfig::default(),
        Sources::parse(SOURCES, "sources.toml").unwrap(),
        VisitorSecret::for_testing(7),
        Arc::new(sink.clone()),
        metrics,
    );
    let shutdown = CancellationToken::new();
    let router = router(Arc::new(collector));
    let serving = serve(listener, router, limits, open.clone(), shutdown.clone());
    Server {
        address,
        sink,
        shutdown,
        open,
        task: tokio::spawn(serving),
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Reads until the end of the connection, or until `end` was read.
async fn read(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&answer).ends_with(end) || end.is_empty() {
            let mut piece = [0; 4096];
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(read) => answer.extend_from_slice(&piece[..read]),
            }
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(read.is_ok(), "no {end:?} within 20 s, only {answer:?}");
    answer
}

const SUCCESS: &str = "{\"success\":true}";

#[tokio::test]
async fn a_connection_carries_many_requests() {
    let server = start(limits()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(EVENT.as_bytes()).await.unwrap();
        let answer = read(&mut stream, SUCCESS).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    assert_eq!(server.sink.records().len(), 3);
    assert_eq!(server.open.get(), 1);
}

#[tokio::test]
async fn the_shutdown_waits_for_requests_under_way_and_takes_no_others() {
    let server = start(limits()).await;
    server.sink.set(Mode::Hanging);
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(EVENT.as_bytes()).await.unwrap();
    server.sink.called(1).await;

    server.shutdown.cancel();
    assert_eq!(
        read(&mut idle, "").await,
        "",
        "an idle connection ends at once"
    );
    let refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused)
        .await
        .unwrap();

    server.sink.set(Mode::Keep);
    let answer = read(&mut busy, "").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(SUCCESS),
        "{answer}"
    );
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(server.task.await.unwrap() > Duration::ZERO);
    assert_eq!(server.sink.records().len(), 1);
}

#[tokio::test]
async fn requests_that_do_not_end_in_time_are_cut_off_unanswered() {
    let server = start(ServerLimits {
        drain_timeout: Duration::from_millis(50),
        ..limits()
    })
    .await;
    server.sink.set(Mode::Hanging);
    let mut busy = server.connect().await;
    busy.write_all(EVENT.as_bytes()).await.unwrap();
    server.sink.called(1).await;
    server.shutdown.cancel();
    assert_eq!(server.task.await.unwrap(), Duration::ZERO);
    assert_eq!(read(&mut busy, "").await, "");
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let server = start(ServerLimits {
        head_timeout: Duration::from_millis(50),
        ..limits()
    })
    .await;
    let mut slow = server.connect().await;
    slow.write_all(b"POST /v1/track HTTP/1.1\r\nHost:")
        .await
        .unwrap();
    let answer = read(&mut slow, "").await;
    assert!(!answer.contains("200"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let server = start(ServerLimits {
        connections: 1,
        ..limits()
    })
    .await;
    let mut first = server.connect().await;
    first.write_all(EVENT.as_bytes()).await.unwrap();
    read(&mut first, SUCCESS).await;
    let mut second = server.connect().await;
    second.write_all(EVENT.as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), second.read_u8()).await;
    assert!(early.is_err(), "the second one was served beside the first");
    drop(first);
    read(&mut second, SUCCESS).await;
    assert_eq!(server.sink.records().len(), 2);
}

#[tokio::test]
async fn a_client_that_sends_everything_first_still_reads_the_refusal() {
    let server = start(limits()).await;
    let mut stream = server.connect().await;
    let length = 6 << 20;
    let head = format!(
        "POST /v1/track?writeKey=0123456789abcdef HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; length]).await.unwrap();
    let answer = read(&mut stream, "}").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // The whole body was read, so the connection goes on.
    stream.write_all(EVENT.as_bytes()).await.unwrap();
    read(&mut stream, SUCCESS).await;
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let server = start(limits()).await;
    let mut stream = server.connect().await;
    let head = "POST /v1/track HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nX-Write-Key: wrong\r\nContent-Length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read(&mut stream, "").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}
