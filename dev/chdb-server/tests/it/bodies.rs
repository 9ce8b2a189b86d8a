//! Rows in the body of an INSERT.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::server::{DEADLINE, Server};

#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
struct Line {
    number: u64,
    text: String,
}

fn with_table() -> Server {
    let server = Server::start();
    server.execute(
        "CREATE TABLE lines (number UInt64, text String) ENGINE = MergeTree ORDER BY number",
    );
    server
}

/// RowBinary rows whose texts are `text`.
fn row_binary(count: u64, text: &[u8]) -> Vec<u8> {
    let mut rows = Vec::new();
    for number in 0..count {
        rows.extend_from_slice(&number.to_le_bytes());
        rows.push(u8::try_from(text.len()).unwrap());
        rows.extend_from_slice(text);
    }
    rows
}

#[test]
fn blank_lines_and_semicolons_in_the_rows_are_rows() {
    let server = with_table();
    let rows = row_binary(1000, b"\n\n;\0\xff' INSERT\r\n\r\n");
    server
        .request()
        .param("query", "INSERT INTO lines FORMAT RowBinary")
        .body(rows)
        .send()
        .ok();
    assert_eq!(
        server.execute("SELECT count(), uniqExact(text), hex(any(text)) FROM lines"),
        "1000\t1\t0A0A3B00FF2720494E534552540D0A0D0A"
    );
    server.execute("CREATE TABLE texts (text String) ENGINE = MergeTree ORDER BY text");
    server
        .request()
        .body("INSERT INTO texts FORMAT TabSeparated\n\n\n;\n\nlast\n")
        .send()
        .ok();
    assert_eq!(
        server.execute("SELECT count(), countIf(text = ''), countIf(text = ';') FROM texts"),
        "5\t3\t1"
    );
}

#[test]
fn rows_come_in_many_formats_behind_url_or_statement() {
    let server = with_table();
    for (statement, body) in [
        (
            "INSERT INTO lines FORMAT JSONEachRow",
            "{\"number\": 1, \"text\": \"a\"}\n{\"text\": \"b\"}",
        ),
        (
            "INSERT INTO lines (text, number) FORMAT CSV",
            "\"x\ny\",2\n",
        ),
        (
            "INSERT INTO lines VALUES",
            "(1 + 2, upper('x')), (4, 'a;b')",
        ),
        (
            "INSERT INTO lines FORMAT TabSeparatedWithNames",
            "text\tnumber\nz\t5\n",
        ),
    ] {
        server
            .request()
            .param("query", statement)
            .body(body)
            .send()
            .ok();
        server
            .request()
            .body(format!("{statement}\n{body}"))
            .send()
            .ok();
    }
    assert_eq!(
        server.execute("SELECT number, text, count() FROM lines GROUP BY ALL ORDER BY ALL"),
        "0\tb\t2\n1\ta\t2\n2\tx\\ny\t2\n3\tX\t2\n4\ta;b\t2\n5\tz\t2"
    );
}

#[test]
fn an_insert_from_a_select_is_a_query() {
    let server = with_table();
    let answer = server
        .request()
        .body("INSERT INTO lines SELECT number, toString(number) FROM numbers(1000)")
        .send();
    assert_eq!(answer.summary("written_rows"), 1000);
    assert_eq!(server.execute("SELECT sum(number) FROM lines"), "499500");
}

#[tokio::test]
async fn a_hundred_thousand_rows_go_in_and_out() {
    let server = with_table();
    let client = server.client();
    let line = |number: u64| Line {
        number,
        text: format!("line {number}\n\n"),
    };
    let mut insert = client.insert::<Line>("lines").await.unwrap();
    for number in 0..100_000 {
        insert.write(&line(number)).await.unwrap();
    }
    insert.end().await.unwrap();
    let mut cursor = client
        .query("SELECT ?fields FROM lines ORDER BY number")
        .fetch::<Line>()
        .unwrap();
    let mut next = 0;
    while let Some(row) = cursor.next().await.unwrap() {
        assert_eq!(row, line(next));
        next += 1;
    }
    assert_eq!(next, 100_000);
}

#[tokio::test]
async fn formatted_rows_are_taken_from_the_crate() {
    let server = with_table();
    let mut insert = server
        .client()
        .insert_formatted_with("INSERT INTO lines (number, text) FORMAT RowBinary");
    let rows = row_binary(5_000, b"\n\n");
    insert.send(rows.into()).await.unwrap();
    insert.end().await.unwrap();
    assert_eq!(server.execute("SELECT count() FROM lines"), "5000");
}

#[test]
fn one_body_is_one_part() {
    let server = with_table();
    server.execute("SYSTEM STOP MERGES lines");
    let answer = server
        .request()
        .param("query", "INSERT INTO lines FORMAT RowBinary")
        .param("async_insert", "0")
        .param("max_insert_block_size", "10000000")
        .param("min_insert_block_size_rows", "10000000")
        .param("min_insert_block_size_bytes", "4000000000")
        .body(row_binary(1_200_000, b"x"))
        .send();
    assert_eq!(answer.summary("written_rows"), 1_200_000);
    let parts =
        "SELECT count(), sum(rows) FROM system.parts WHERE active AND database = currentDatabase()";
    assert_eq!(server.execute(parts), "1\t1200000");
}

#[test]
fn one_body_is_one_part_unless_the_client_cuts_it() {
    let Some(server) = Server::local("a server cuts at 1,048,449 rows by itself", &[]) else {
        return;
    };
    let parts = "SELECT count(), sum(rows) FROM system.parts WHERE active AND table = ";
    for (table, block, expected) in [("whole", "", "1\t1200000"), ("cut", "300000", "4\t1200000")] {
        server.execute(&format!(
            "CREATE TABLE {table} (number UInt64, text String) ENGINE = MergeTree ORDER BY number"
        ));
        server.execute(&format!("SYSTEM STOP MERGES {table}"));
        let mut request = server
            .request()
            .param("query", format!("INSERT INTO {table} FORMAT RowBinary"))
            .body(row_binary(1_200_000, b"x"));
        if !block.is_empty() {
            request = request
                .param("max_insert_block_size", block)
                .param("min_insert_block_size_rows", block);
        }
        request.send().ok();
        assert_eq!(server.execute(&format!("{parts}'{table}'")), expected);
    }
}

#[test]
fn a_bad_last_row_stores_nothing() {
    let server = with_table();
    let mut rows = String::new();
    for number in 0..200_000 {
        rows.push_str(&format!("{number}\ttext\n"));
    }
    rows.push_str("not a number\ttext\n");
    let answer = server
        .request()
        .param("query", "INSERT INTO lines FORMAT TabSeparated")
        .body(rows)
        .send();
    assert_eq!(
        (answer.status, answer.code()),
        (400, 27),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("at row 200001"), "{}", answer.text());
    assert_eq!(server.execute("SELECT count() FROM lines"), "0");
    // The next insert does not suffer.
    server.execute("INSERT INTO lines VALUES (1, 'a')");
    assert_eq!(server.execute("SELECT count() FROM lines"), "1");
}

#[test]
fn an_unfinished_body_stores_nothing() {
    let server = with_table();
    let address = server.url.trim_start_matches("http://").to_owned();
    let rows = row_binary(1000, b"x");
    let mut connection = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /?query=INSERT+INTO+lines+FORMAT+RowBinary&query_id=unfinished&database={} HTTP/1.1\r\nHost: {address}\r\n\
         X-ClickHouse-User: {}\r\nX-ClickHouse-Key: {}\r\nContent-Length: {}\r\n\r\n",
        server.database,
        server.user,
        server.password,
        rows.len() + 1
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&rows).unwrap();
    drop(connection);
    // Its id is free again when the server has noticed.
    let started = Instant::now();
    loop {
        let answer = server
            .request()
            .param("query_id", "unfinished")
            .body("SELECT 1")
            .send();
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.code(), 216, "{}", answer.text());
        assert!(started.elapsed() < DEADLINE);
    }
    assert_eq!(server.execute("SELECT count() FROM lines"), "0");
}

#[test]
fn too_large_bodies_are_refused() {
    let Some(server) = Server::local("a server has no limit", &[]) else {
        return;
    };
    server.execute("CREATE TABLE lines (text String) ENGINE = MergeTree ORDER BY text");
    let rows = vec![0; (256 << 20) + 1];
    let answer = server
        .request()
        .param("query", "INSERT INTO lines FORMAT RowBinary")
        .body(rows)
        .send();
    assert_eq!((answer.status, answer.code()), (413, 229));
    assert_eq!(server.execute("SELECT count() FROM lines"), "0");
}

#[test]
fn slow_bodies_take_no_place() {
    let Some(server) = Server::local("needs one connection only", &["--connections", "1"]) else {
        return;
    };
    server.execute("CREATE TABLE lines (text String) ENGINE = MergeTree ORDER BY text");
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /?query=INSERT+INTO+lines+FORMAT+RowBinary&database=contract HTTP/1.1\r\nHost: {address}\r\n\
         X-ClickHouse-User: {}\r\nX-ClickHouse-Key: {}\r\nContent-Length: 2\r\n\r\n\x01",
        server.user, server.password
    );
    slow.write_all(head.as_bytes()).unwrap();
    assert_eq!(server.execute("SELECT count() FROM lines"), "0");
    slow.write_all(b"x").unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    server.wait_for("SELECT count() FROM lines", "1");
}
