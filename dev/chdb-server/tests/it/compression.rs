//! ClickHouse's compressed blocks (`compress`, `decompress`) and HTTP's encodings.

use std::io::{Read, Write};

use clickhouse::{Client, Compression, Row};
use serde::{Deserialize, Serialize};

use crate::server::Server;

/// Packs data as ClickHouse does, in blocks of a few rows.
fn pack(data: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    for block in data.chunks(10_000) {
        let compressed = lz4_flex::block::compress(block);
        let mut rest = vec![0x82];
        rest.extend_from_slice(&u32::try_from(compressed.len() + 9).unwrap().to_le_bytes());
        rest.extend_from_slice(&u32::try_from(block.len()).unwrap().to_le_bytes());
        rest.extend_from_slice(&compressed);
        let sum = cityhash_rs::cityhash_102_128(&rest).rotate_right(64);
        packed.extend_from_slice(&sum.to_le_bytes());
        packed.extend_from_slice(&rest);
    }
    packed
}

/// Unpacks what the server packed, checksums checked.
fn unpack(mut packed: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while !packed.is_empty() {
        let sum = u128::from_le_bytes(packed[..16].try_into().unwrap());
        let number =
            |at: usize| u32::from_le_bytes(packed[at..at + 4].try_into().unwrap()) as usize;
        let (size, unpacked) = (number(17), number(21));
        let block = &packed[16..16 + size];
        assert_eq!(sum, cityhash_rs::cityhash_102_128(block).rotate_right(64));
        assert_eq!(block[0], 0x82);
        data.extend_from_slice(&lz4_flex::block::decompress(&block[9..], unpacked).unwrap());
        packed = &packed[16 + size..];
    }
    data
}

fn numbers(count: u32) -> String {
    (0..count).map(|number| format!("{number}\n")).collect()
}

#[test]
fn answers_are_packed_in_blocks() {
    let server = Server::start();
    for count in [0, 1, 1_000_000] {
        let answer = server
            .request()
            .param("compress", "1")
            .body(format!("SELECT number FROM numbers({count})"))
            .send();
        assert_eq!((answer.status, answer.exit), (200, 0));
        assert_eq!(unpack(&answer.body), numbers(count).as_bytes(), "{count}");
    }
    let failed = server
        .request()
        .param("compress", "1")
        .body("SELECT throwIf(1)")
        .send();
    assert_eq!((failed.status, failed.code()), (500, 395));
    let text = String::from_utf8(unpack(&failed.body)).unwrap();
    assert!(text.starts_with("Code: 395."), "{text}");
}

#[test]
fn packed_bodies_are_taken() {
    let server = Server::start();
    server.execute("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a");
    server
        .request()
        .param("query", "INSERT INTO t FORMAT TabSeparated")
        .param("decompress", "1")
        .body(pack(numbers(300_000).as_bytes()))
        .send()
        .ok();
    server
        .request()
        .param("decompress", "1")
        .body(pack(b"INSERT INTO t VALUES (1), (2)"))
        .send()
        .ok();
    assert_eq!(
        server.execute("SELECT count(), sum(a) FROM t"),
        "300002\t44999850003"
    );
}

#[test]
fn damaged_bodies_store_nothing() {
    let server = Server::start();
    server.execute("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a");
    let packed = pack(numbers(300_000).as_bytes());
    let send = |body: &[u8]| {
        server
            .request()
            .param("query", "INSERT INTO t FORMAT TabSeparated")
            .param("decompress", "1")
            .body(body)
            .send()
    };
    let mut damaged = packed.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let answer = send(&damaged);
    assert_eq!(
        (answer.status, answer.code()),
        (500, 40),
        "{}",
        answer.text()
    );
    let answer = send(&packed[..last]);
    assert!([32, 33].contains(&answer.code()), "{}", answer.text());
    assert_eq!(server.execute("SELECT count() FROM t"), "0");
}

#[test]
fn http_encodings_work_both_ways() {
    let server = Server::start();
    let gzipped = server
        .request()
        .args(&["--compressed", "-H", "Accept-Encoding: gzip"])
        .body("SELECT number FROM numbers(300000)")
        .send();
    assert_eq!(gzipped.header("content-encoding"), "gzip");
    assert_eq!(gzipped.ok(), numbers(300_000));
    let plain = server
        .request()
        .param("enable_http_compression", "0")
        .header("Accept-Encoding", "gzip")
        .body("SELECT 1")
        .send();
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(plain.ok(), "1\n");

    let framed = server
        .request()
        .header("Accept-Encoding", "lz4")
        .body("SELECT number FROM numbers(300000)")
        .send();
    assert_eq!(framed.header("content-encoding"), "lz4");
    let mut text = String::new();
    lz4_flex::frame::FrameDecoder::new(framed.body.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, numbers(300_000));

    server.execute("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(numbers(1000).as_bytes()).unwrap();
    server
        .request()
        .param("query", "INSERT INTO t FORMAT TabSeparated")
        .header("Content-Encoding", "gzip")
        .body(encoder.finish().unwrap())
        .send()
        .ok();
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(numbers(1000).as_bytes()).unwrap();
    server
        .request()
        .param("query", "INSERT INTO t FORMAT TabSeparated")
        .header("Content-Encoding", "lz4")
        .body(encoder.finish().unwrap())
        .send()
        .ok();
    assert_eq!(
        server.execute("SELECT count(), sum(a) FROM t"),
        "2000\t999000"
    );
}

#[tokio::test]
async fn the_crate_compresses_both_ways() {
    #[derive(Debug, PartialEq, Row, Serialize, Deserialize)]
    struct Number {
        a: u32,
    }
    async fn round_trip(client: Client) {
        client.query("TRUNCATE TABLE t").execute().await.unwrap();
        let mut insert = client.insert::<Number>("t").await.unwrap();
        for a in 0..100_000 {
            insert.write(&Number { a }).await.unwrap();
        }
        insert.end().await.unwrap();
        let rows = client
            .query("SELECT ?fields FROM t ORDER BY a")
            .fetch_all::<Number>()
            .await
            .unwrap();
        assert_eq!(rows.len(), 100_000);
        assert!((0..).zip(&rows).all(|(a, row)| row.a == a));
    }
    let server = Server::start();
    server.execute("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a");
    round_trip(server.client().with_compression(Compression::Lz4)).await;
    round_trip(server.client().with_compression(Compression::None)).await;
}
