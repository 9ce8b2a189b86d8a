//! Where a statement and its surroundings come from.

use crate::curl::Request;
use crate::server::Server;

#[test]
fn ping_and_root_answer_without_credentials() {
    let server = Server::start();
    for path in ["/ping", "/"] {
        let answer = Request::new(&format!("{}{path}", server.url)).send();
        assert_eq!(answer.ok(), "Ok.\n");
    }
    let answer = Request::new(&format!("{}/nothing/here", server.url)).send();
    assert_eq!(answer.status, 404);
}

#[test]
fn a_statement_comes_in_the_url_in_the_body_or_in_both() {
    let server = Server::start();
    let in_url = server.request().param("query", "SELECT 1 + 1").send();
    assert_eq!(in_url.ok(), "2\n");
    let in_body = server.request().body("SELECT 1 + 2").send();
    assert_eq!(in_body.ok(), "3\n");
    let in_both = server
        .request()
        .param("query", "SELECT 1 +")
        .body("3")
        .send();
    assert_eq!(in_both.ok(), "4\n");
    let with_comment = server.request().body("SELECT 5; -- the end").send();
    assert_eq!(with_comment.ok(), "5\n");
}

#[test]
fn long_statements_are_taken() {
    let server = Server::start();
    let filler = "x".repeat(50_000);
    let in_url = server
        .request()
        .param("query", format!("SELECT length('{filler}')"))
        .send();
    assert_eq!(in_url.ok(), "50000\n");
    let filler = "x".repeat(200_000);
    let in_body = server
        .request()
        .body(format!("SELECT length('{filler}')"))
        .send();
    assert_eq!(in_body.ok(), "200000\n");
}

#[test]
fn get_is_read_only() {
    let server = Server::start();
    server.execute("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    let answer = server
        .request()
        .param("query", "INSERT INTO t VALUES (1)")
        .send();
    assert_eq!((answer.status, answer.code()), (500, 164));
    let answer = server
        .request()
        .param("query", "SELECT getSetting('max_threads')")
        .param("max_threads", "3")
        .send();
    assert_eq!(answer.ok(), "3\n");
    assert_eq!(server.execute("SELECT count() FROM t"), "0");
}

#[test]
fn exactly_one_statement_is_a_statement() {
    let server = Server::start();
    for text in [
        "",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "CREATE TABLE t (a Int8) ENGINE = Memory; garbage",
    ] {
        let answer = server.request().body(text).send();
        assert_eq!(
            (answer.status, answer.code()),
            (400, 62),
            "{text:?}: {}",
            answer.text()
        );
    }
    assert_eq!(server.execute("SHOW TABLES"), "");
}

#[test]
fn the_format_is_the_statements_or_the_default() {
    let server = Server::start();
    let sql = "SELECT 1 AS one, 'x' AS x";
    let answer = server.request().body(sql).send();
    assert_eq!(answer.header("x-clickhouse-format"), "TabSeparated");
    assert!(
        answer
            .header("content-type")
            .starts_with("text/tab-separated-values")
    );
    assert_eq!(answer.ok(), "1\tx\n");
    let by_parameter = server
        .request()
        .param("default_format", "CSV")
        .body(sql)
        .send();
    assert_eq!(by_parameter.header("x-clickhouse-format"), "CSV");
    assert_eq!(by_parameter.ok(), "1,\"x\"\n");
    let by_header = server
        .request()
        .header("X-ClickHouse-Format", "JSONEachRow")
        .body(sql)
        .send();
    assert_eq!(by_header.ok(), "{\"one\":1,\"x\":\"x\"}\n");
    let by_clause = server
        .request()
        .param("default_format", "CSV")
        .body(format!("{sql} FORMAT JSONCompactEachRow"))
        .send();
    assert_eq!(
        by_clause.header("x-clickhouse-format"),
        "JSONCompactEachRow"
    );
    assert_eq!(by_clause.ok(), "[1, \"x\"]\n");
    let json = server.request().body(format!("{sql} FORMAT JSON")).send();
    assert!(json.header("content-type").starts_with("application/json"));
    let json: serde_json::Value = serde_json::from_str(&json.ok()).unwrap();
    assert_eq!(json["rows"], 1);
}

#[test]
fn the_database_is_the_requests_and_does_not_stay() {
    let server = Server::start();
    let admin = || server.request_as(&server.user, &server.password);
    let sql = "SELECT currentDatabase()";
    assert_eq!(admin().body(sql).send().ok(), "default\n");
    let named = format!("{}\n", server.database);
    assert_eq!(
        admin()
            .param("database", &server.database)
            .body(sql)
            .send()
            .ok(),
        named
    );
    let by_header = admin().header("X-ClickHouse-Database", &server.database);
    assert_eq!(by_header.body(sql).send().ok(), named);
    for _ in 0..20 {
        admin().body("USE system").send().ok();
        assert_eq!(admin().body(sql).send().ok(), "default\n");
    }
    let missing = admin().param("database", "no such").body(sql).send();
    assert_eq!((missing.status, missing.code()), (404, 81));
}

#[test]
fn settings_and_temporary_tables_end_with_their_request() {
    let server = Server::start();
    let threads = || server.execute("SELECT getSetting('max_threads')");
    let default = threads();
    for _ in 0..20 {
        let answer = server
            .request()
            .param("max_threads", "11")
            .body("SELECT getSetting('max_threads')")
            .send();
        assert_eq!(answer.ok(), "11\n");
        server.execute("SET max_threads = 12");
        server.execute("CREATE TEMPORARY TABLE scratch (a Int8)");
        assert_eq!(threads(), default);
    }
    let unknown = server
        .request()
        .param("no_such_setting", "1")
        .body("SELECT 1")
        .send();
    assert_eq!((unknown.status, unknown.code()), (404, 115));
    let wrong = server
        .request()
        .param("max_threads", "many")
        .body("SELECT 1")
        .send();
    assert_eq!(wrong.status, 400, "{}", wrong.text());
}

#[test]
fn an_insert_with_settings_changes_nothing_for_the_next() {
    let server = Server::start();
    server.execute("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    server
        .request()
        .param(
            "query",
            "INSERT INTO t SETTINGS max_threads = 13 FORMAT TabSeparated",
        )
        .param("input_format_allow_errors_num", "1")
        .body("1\nx\n2\n")
        .send()
        .ok();
    assert_eq!(server.execute("SELECT count() FROM t"), "2");
    let answer = server
        .request()
        .param("query", "INSERT INTO t FORMAT TabSeparated")
        .body("1\nx\n2\n")
        .send();
    assert_eq!(
        (answer.status, answer.code()),
        (400, 27),
        "{}",
        answer.text()
    );
    assert_eq!(server.execute("SELECT count() FROM t"), "2");
}
