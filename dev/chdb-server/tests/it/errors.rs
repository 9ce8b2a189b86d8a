//! How failures are told.

use crate::server::Server;

#[derive(Debug, clickhouse::Row, serde::Deserialize)]
struct Row {
    #[expect(dead_code, reason = "only read by the derived implementations")]
    number: u64,
    #[expect(dead_code, reason = "only read by the derived implementations")]
    thrown: u8,
}

#[test]
fn failures_have_status_code_name_and_text() {
    let server = Server::start();
    server.execute("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    for (sql, status, code, name) in [
        ("SELEC 1", 400, 62, "SYNTAX_ERROR"),
        ("SELECT * FROM missing", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT missing FROM t", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT missing(1)", 404, 46, "UNKNOWN_FUNCTION"),
        ("SELECT 1 FORMAT Missing", 404, 73, "UNKNOWN_FORMAT"),
        ("INSERT INTO missing VALUES (1)", 404, 60, "UNKNOWN_TABLE"),
        (
            "INSERT INTO t (missing) VALUES (1)",
            500,
            16,
            "NO_SUCH_COLUMN_IN_TABLE",
        ),
        (
            "CREATE TABLE t (a Int8) ENGINE = Memory",
            500,
            57,
            "TABLE_ALREADY_EXISTS",
        ),
        (
            "SELECT throwIf(1)",
            500,
            395,
            "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
        ),
        ("SELECT toUInt8('x')", 400, 6, "CANNOT_PARSE_TEXT"),
        (
            "SELECT 1 INTO OUTFILE '/tmp/never'",
            500,
            358,
            "INTO_OUTFILE_NOT_ALLOWED",
        ),
    ] {
        let answer = server.request().param("query_id", "").body(sql).send();
        let text = answer.text();
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{sql}: {text}"
        );
        assert!(
            text.starts_with(&format!("Code: {code}. DB::Exception: ")),
            "{text}"
        );
        assert!(text.contains(&format!("({name}) (version ")), "{text}");
        assert!(text.ends_with(")\n"), "{text}");
        assert!(!answer.header("x-clickhouse-query-id").is_empty(), "{sql}");
        assert!(
            answer.header("content-type").starts_with("text/plain"),
            "{sql}"
        );
    }
}

#[test]
fn successes_have_the_usual_headers() {
    let server = Server::start();
    let answer = server
        .request()
        .param("query_id", "the query")
        .param("wait_end_of_query", "1")
        .body("SELECT number FROM numbers(10)")
        .send();
    assert_eq!(answer.header("x-clickhouse-query-id"), "the query");
    assert_eq!(answer.header("x-clickhouse-format"), "TabSeparated");
    assert!(!answer.header("x-clickhouse-timezone").is_empty());
    assert!(!answer.header("x-clickhouse-server-display-name").is_empty());
    assert_eq!(answer.summary("read_rows"), 10);
    assert_eq!(answer.summary("result_rows"), 10);
    assert!(answer.summary("elapsed_ns") > 0);
    assert_eq!(answer.code(), 0);

    server.execute("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    let answer = server
        .request()
        .body("INSERT INTO t VALUES (1), (2), (3)")
        .send();
    assert_eq!(answer.summary("written_rows"), 3);
    assert!(answer.summary("written_bytes") >= 3);
    assert_eq!(answer.ok(), "");
}

#[test]
fn ids_are_made_up_for_queries_without_one() {
    let server = Server::start();
    let ids = [0, 1].map(|_| {
        let answer = server.request().body("SELECT 1").send();
        answer.header("x-clickhouse-query-id").to_owned()
    });
    assert_ne!(ids[0], ids[1]);
    assert!(uuid::Uuid::parse_str(&ids[0]).is_ok(), "{ids:?}");
}

#[test]
fn a_failure_after_the_first_rows_breaks_the_answer_off() {
    let server = Server::start();
    let answer = server
        .request()
        .body("SELECT number, throwIf(number = 500000) FROM numbers(10000000) SETTINGS max_threads = 1")
        .send();
    assert_eq!(answer.status, 200);
    assert_ne!(answer.exit, 0, "curl took the answer for whole");
    let end = &answer.text()[answer.body.len().saturating_sub(1000)..];
    assert!(end.contains("Code: 395. DB::Exception"), "{end}");
}

#[test]
fn a_failure_after_the_first_rows_has_its_status_when_the_end_is_waited_for() {
    let server = Server::start();
    let answer = server
        .request()
        .param("wait_end_of_query", "1")
        .body("SELECT number, throwIf(number = 500000) FROM numbers(10000000)")
        .send();
    assert_eq!((answer.status, answer.code()), (500, 395));
}

#[tokio::test]
async fn the_crate_sees_failures_before_and_after_the_first_rows() {
    let server = Server::start();
    let early = server
        .client()
        .query("SELECT * FROM missing")
        .execute()
        .await;
    let early = early.unwrap_err().to_string();
    assert!(early.contains("Code: 60."), "{early}");
    let late = server
        .client()
        .query("SELECT number, throwIf(number = 500000) AS thrown FROM numbers(10000000)")
        .fetch_all::<Row>()
        .await;
    let late = late.unwrap_err().to_string();
    assert!(late.contains("Code: 395."), "{late}");
}
