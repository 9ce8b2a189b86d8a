//! The connection under an insert, towards servers that misbehave.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use weir_clickhouse::compress::Body;
use weir_clickhouse::insert::{Connection, InsertError, InsertRequest, Inserter};
use weir_clickhouse::{Class, ClickHouseConfig, Error};

use crate::insert::class;
use crate::support::TIMEOUT;

/// An insert that nobody looks at.
fn opaque(bytes: usize, timeout: Duration) -> InsertRequest {
    InsertRequest {
        table: "events",
        columns: "`offset`".into(),
        token: "t".into(),
        query_id: "q".into(),
        body: Body::plain(vec![0; bytes]),
        timeout,
    }
}

/// A server that does what a test wants, and an inserter for it.
async fn listening() -> (TcpListener, Inserter) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = ClickHouseConfig {
        url: format!("http://{}", listener.local_addr().unwrap()),
        ..ClickHouseConfig::default()
    };
    (listener, Inserter::new(&config).unwrap())
}

async fn until_closed(connection: &Connection) {
    let begun = Instant::now();
    while connection.is_usable() {
        assert!(begun.elapsed() < TIMEOUT);
        tokio::task::yield_now().await;
    }
}

const FINE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn a_given_up_insert_does_not_arrive_later() {
    const SENT: usize = 64 << 20;
    let (listener, inserter) = listening().await;
    for is_dropped in [false, true] {
        let mut connection = inserter.connect().await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let insert = opaque(SENT, Duration::from_millis(300));
        if is_dropped {
            let limit = Duration::from_millis(200);
            let sending = connection.insert(&insert, || true);
            assert!(tokio::time::timeout(limit, sending).await.is_err());
        } else {
            let (_, error) = class(connection.insert(&insert, || true).await);
            assert!(matches!(error, Error::Timeout { .. }), "{error}");
        }
        // Not a byte was read until now.
        let mut arrived = Vec::new();
        let reading = tokio::time::timeout(TIMEOUT, peer.read_to_end(&mut arrived));
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert!(arrived.len() < SENT);
    }
}

#[tokio::test]
async fn what_the_server_does_not_take_is_given_up_before_the_insert_times_out() {
    let (listener, inserter) = listening().await;
    let mut connection = inserter.connect().await.unwrap();
    let _peer = listener.accept().await.unwrap();
    let (class, error) = class(connection.insert(&opaque(64 << 20, TIMEOUT), || true).await);
    assert_eq!(class, Class::Retry);
    assert!(matches!(error, Error::Transport(_)), "{error}");
}

#[tokio::test]
async fn an_answered_connection_is_closed_in_peace() {
    let (listener, inserter) = listening().await;
    let mut connection = inserter.connect().await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    let insert = opaque(8, TIMEOUT);
    let (answer, rest) = tokio::join!(connection.insert(&insert, || true), async {
        let mut request = vec![0; 64 << 10];
        assert!(peer.read(&mut request).await.unwrap() > 0);
        peer.write_all(FINE).await
    });
    answer.unwrap();
    rest.unwrap();
    drop(connection);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_fresh_connection_that_is_closed_is_the_servers_fault_and_a_used_one_is_not() {
    let (listener, inserter) = listening().await;
    let insert = opaque(8, TIMEOUT);
    let mut fresh = inserter.connect().await.unwrap();
    drop(listener.accept().await.unwrap());
    until_closed(&fresh).await;
    let (class, error) = class(fresh.insert(&insert, || true).await);
    assert_eq!(class, Class::Retry);
    assert!(matches!(error, Error::Transport(_)), "{error}");

    let mut used = inserter.connect().await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    let (answer, ()) = tokio::join!(used.insert(&insert, || true), async {
        let mut request = vec![0; 64 << 10];
        assert!(peer.read(&mut request).await.unwrap() > 0);
        peer.write_all(FINE).await.unwrap();
    });
    answer.unwrap();
    drop(peer);
    until_closed(&used).await;
    let closed = used.insert(&insert, || true).await;
    assert!(matches!(closed, Err(InsertError::Closed)), "{closed:?}");
}
