//! Results, small and large.

use crate::server::Server;

/// Rows of a result that is sent in many pieces.
const ROWS: u64 = 400_000;

#[test]
fn large_results_are_whole_in_every_format() {
    let server = Server::start();
    let sql =
        format!("SELECT number AS n, toString(number) AS \"a \"\"text\"\"\" FROM numbers({ROWS})");
    for (format, header_lines) in [
        ("TabSeparated", 0),
        ("TabSeparatedWithNames", 1),
        ("TSVWithNamesAndTypes", 2),
        ("CSV", 0),
        ("CSVWithNames", 1),
        ("JSONEachRow", 0),
        ("JSONCompactEachRowWithNamesAndTypes", 2),
    ] {
        let answer = server
            .request()
            .body(format!("{sql} FORMAT {format}"))
            .send();
        let text = answer.ok();
        let lines = text.lines().count() as u64;
        assert_eq!(lines, ROWS + header_lines, "{format}");
        let names = text.matches("text").count() as u64;
        let expected = if format == "JSONEachRow" {
            ROWS
        } else {
            header_lines.min(1)
        };
        assert_eq!(names, expected, "{format}");
    }
    let json = server
        .request()
        .body(format!("{sql} FORMAT JSONCompact"))
        .send()
        .ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["data"].as_array().unwrap().len() as u64, ROWS);
    let array = server
        .request()
        .param("output_format_json_array_of_rows", "1")
        .body(format!("{sql} FORMAT JSONEachRow"))
        .send()
        .ok();
    let array: serde_json::Value = serde_json::from_str(&array).unwrap();
    assert_eq!(array.as_array().unwrap().len() as u64, ROWS);
    let binary = server
        .request()
        .body(format!(
            "SELECT number FROM numbers({ROWS}) FORMAT RowBinaryWithNamesAndTypes"
        ))
        .send();
    assert_eq!(binary.status, 200);
    let header = b"\x01\x06number\x06UInt64";
    assert!(binary.body.starts_with(header));
    assert_eq!(binary.body.len() as u64, header.len() as u64 + ROWS * 8);
}

#[test]
fn results_without_rows_keep_their_header() {
    let server = Server::start();
    for (format, expected) in [
        ("TabSeparated", ""),
        ("TabSeparatedWithNames", "number\n"),
        ("RowBinaryWithNamesAndTypes", "\x01\x06number\x06UInt64"),
        ("JSONEachRow", ""),
    ] {
        let sql = format!("SELECT number FROM numbers(10) WHERE number > 10 FORMAT {format}");
        assert_eq!(server.request().body(sql).send().ok(), expected, "{format}");
    }
}

#[test]
fn totals_and_extremes_follow_the_rows() {
    let server = Server::start();
    let sql =
        "SELECT number % 2 AS odd, count() FROM numbers(10) GROUP BY odd WITH TOTALS ORDER BY odd";
    let answer = server.request().param("extremes", "1").body(sql).send();
    assert_eq!(answer.ok(), "0\t5\n1\t5\n\n0\t10\n\n0\t5\n1\t5\n");
}

#[test]
fn statements_other_than_select_answer_too() {
    let server = Server::start();
    server.execute("CREATE TABLE t (a Int8 COMMENT 'the a') ENGINE = MergeTree ORDER BY a");
    assert_eq!(server.execute("SHOW TABLES"), "t");
    assert_eq!(server.execute("EXISTS TABLE t"), "1");
    assert!(server.execute("DESCRIBE TABLE t").starts_with("a\tInt8\t"));
    assert!(
        server
            .execute("SHOW CREATE TABLE t FORMAT TSVRaw")
            .contains("COMMENT 'the a'")
    );
    assert!(!server.execute("EXPLAIN SELECT * FROM t").is_empty());
    assert_eq!(server.execute("OPTIMIZE TABLE t FINAL"), "");
    assert_eq!(
        server.execute("(SELECT 1 AS x) UNION ALL (SELECT 1)"),
        "1\n1"
    );
    assert_eq!(server.execute("WITH 2 AS two SELECT two"), "2");
}

#[tokio::test]
async fn large_results_are_read_by_the_crate() {
    #[derive(clickhouse::Row, serde::Deserialize)]
    struct Number {
        number: u64,
    }
    let server = Server::start();
    let mut cursor = server
        .client()
        .query("SELECT number FROM numbers(400000)")
        .fetch::<Number>()
        .unwrap();
    let mut sum = 0;
    while let Some(row) = cursor.next().await.unwrap() {
        sum += row.number;
    }
    assert_eq!(sum, 79_999_800_000);
}
