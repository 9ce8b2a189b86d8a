use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A collector that answers as it is told, then 200, and keeps the batches it took.
struct Collector {
    uri: Uri,
    taken: Arc<Mutex<Vec<Vec<u64>>>>,
}

#[derive(Clone)]
enum Reaction {
    /// An answer with this status line, extra header and body.
    Answer(&'static str, &'static str, &'static str),
    /// Takes only batches of so many events.
    AtMost(usize),
    /// Breaks the connection without an answer.
    Break,
}

async fn collector(script: Vec<Reaction>, then: Reaction) -> Collector {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/v1/batch", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&taken);
    let script = Arc::new(Mutex::new(VecDeque::from(script)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (kept, script, then) = (Arc::clone(&kept), Arc::clone(&script), then.clone());
            tokio::spawn(async move {
                let next = move || script.lock().unwrap().pop_front().unwrap_or(then.clone());
                serve(stream, &kept, next).await;
            });
        }
    });
    Collector {
        uri: uri.parse().unwrap(),
        taken,
    }
}

async fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Vec<u64>>>, next: impl Fn() -> Reaction) {
    while let Some(numbers) = read_request(&mut stream).await {
        let (status, header, body) = match next() {
            Reaction::Break => return,
            Reaction::AtMost(limit) if numbers.len() > limit => (
                "413 Too Large",
                "x-a: b",
                r#"{"code":"c","message":"too large","hint":"smaller"}"#,
            ),
            Reaction::AtMost(_) => ("200 OK", "x-a: b", "{}"),
            Reaction::Answer(status, header, body) => (status, header, body),
        };
        if status.starts_with("200") {
            kept.lock().unwrap().push(numbers);
        }
        let answer = format!(
            "HTTP/1.1 {status}\r\n{header}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// Returns the numbers of the events in the next request, `None` when the connection ends.
async fn read_request(stream: &mut TcpStream) -> Option<Vec<u64>> {
    let mut read = Vec::new();
    let (head, length) = loop {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        read.extend_from_slice(&piece[..n]);
        let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        if read.len() >= end + 4 + length {
            break (head, length);
        }
    };
    assert!(
        head.starts_with("post /v1/batch") && head.contains("x-write-key: secret"),
        "{head}"
    );
    let mut body = String::new();
    let packed = &read[read.len() - length..];
    GzDecoder::new(packed).read_to_string(&mut body).unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    let batch = body["batch"].as_array().unwrap();
    Some(
        batch
            .iter()
            .map(|call| call["n"].as_u64().unwrap())
            .collect(),
    )
}

fn prepared(number: u64) -> Prepared {
    Prepared {
        number,
        raw: Vec::new(),
        call: format!("{{\"n\":{number}}}").into_bytes(),
    }
}

async fn send(collector: &Collector, events: u64, retry_for: Duration) -> Result<Sent, SendError> {
    let key = HeaderValue::from_static("secret");
    let sender = Sender::new(collector.uri.clone(), key, retry_for);
    let (batches, receiver) = mpsc::channel(100);
    for from in (0..events).step_by(10) {
        let batch = (from..(from + 10).min(events)).map(prepared).collect();
        batches.send(batch).await.unwrap();
    }
    drop(batches);
    sender.send_all(receiver, 3, |_| {}).await
}

const LONG: Duration = Duration::from_secs(60);
const OK: Reaction = Reaction::AtMost(1_000);

fn taken(collector: &Collector) -> Vec<u64> {
    let mut taken: Vec<u64> = collector.taken.lock().unwrap().concat();
    taken.sort_unstable();
    taken
}

#[tokio::test]
async fn every_event_is_sent_once() {
    let collector = collector(vec![], OK).await;
    let sent = send(&collector, 95, LONG).await.unwrap();
    assert_eq!((sent.events, sent.requests, sent.retries), (95, 10, 0));
    assert_eq!(taken(&collector), (0..95).collect::<Vec<_>>());
}

#[tokio::test]
async fn overload_outage_and_broken_connections_are_retried() {
    let script = vec![
        Reaction::Answer("503 Unavailable", "retry-after: 1", "busy"),
        Reaction::Break,
        Reaction::Answer("429 Slow Down", "x-a: b", ""),
    ];
    let collector = collector(script, OK).await;
    let begun = Instant::now();
    let sent = send(&collector, 10, LONG).await.unwrap();
    assert_eq!((sent.events, sent.retries), (10, 3));
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "Retry-After is kept"
    );
    assert_eq!(taken(&collector), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn retries_end_after_their_time() {
    let down = Reaction::Answer(
        "503 Unavailable",
        "x-a: b",
        r#"{"message":"kafka is away"}"#,
    );
    let collector = collector(vec![], down).await;
    let error = send(&collector, 10, Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("kafka is away"), "{error}");
}

#[tokio::test]
async fn what_is_too_large_is_halved() {
    let collector = collector(vec![], Reaction::AtMost(3)).await;
    let sent = send(&collector, 20, LONG).await.unwrap();
    assert_eq!((sent.events, sent.refused.len()), (20, 0));
    assert_eq!(taken(&collector), (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_single_event_that_is_too_large_is_refused_with_the_reason() {
    let collector = collector(vec![], Reaction::AtMost(0)).await;
    let sent = send(&collector, 2, LONG).await.unwrap();
    assert_eq!(sent.events, 0);
    let numbers: Vec<u64> = sent.refused.iter().map(|(call, _)| call.number).collect();
    assert_eq!(numbers, [0, 1]);
    assert_eq!(sent.refused[0].1, "too large (smaller)");
}

#[tokio::test]
async fn a_refused_key_ends_it_at_once() {
    let refusal = Reaction::Answer(
        "401 No",
        "x-a: b",
        r#"{"message":"unknown key","hint":"check"}"#,
    );
    let collector = collector(vec![], refusal).await;
    let expected = "the collector refused with status 401 Unauthorized: unknown key (check)";
    let error = send(&collector, 10, LONG).await.unwrap_err();
    assert_eq!(error.to_string(), expected);
    let key = HeaderValue::from_static("secret");
    let sender = Sender::new(collector.uri.clone(), key, LONG);
    assert_eq!(sender.probe().await.unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn a_key_that_is_not_of_a_server_is_refused_before_anything_is_sent() {
    let probe = async |header| {
        let collector = collector(vec![], Reaction::Answer("200 OK", header, "{}")).await;
        let key = HeaderValue::from_static("secret");
        Sender::new(collector.uri, key, LONG).probe().await
    };
    probe("x-weir-key-class: server").await.unwrap();
    probe("x-a: b").await.unwrap();
    for class in ["browser", "mobile", ""] {
        let header = format!("x-weir-key-class: {class}").leak();
        let refused = probe(header).await.unwrap_err();
        assert!(
            matches!(&refused, SendError::KeyClass(told) if told == class),
            "{refused}"
        );
    }
}
