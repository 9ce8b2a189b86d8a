//! Who may do what.

use crate::curl::Request;
use crate::server::Server;

#[test]
fn credentials_come_in_headers_by_basic_authentication_or_in_the_url() {
    let server = Server::start();
    let root = || Request::new(&format!("{}/", server.url));
    let (user, password) = (&server.user, &server.password);
    let headers = server.request_as(user, password);
    assert_eq!(headers.body("SELECT 1").send().ok(), "1\n");
    let basic = root().args(&["-u", &format!("{user}:{password}")]);
    assert_eq!(basic.body("SELECT 1").send().ok(), "1\n");
    let in_url = root().param("user", user).param("password", password);
    assert_eq!(in_url.body("SELECT 1").send().ok(), "1\n");
}

#[test]
fn wrong_credentials_are_refused() {
    let server = Server::start();
    for (user, password) in [
        (server.user.as_str(), "wrong"),
        ("nobody", server.password.as_str()),
        (server.reader.as_str(), server.password.as_str()),
        (server.reader.as_str(), ""),
    ] {
        let answer = server.request_as(user, password).body("SELECT 1").send();
        assert_eq!(
            (answer.status, answer.code()),
            (403, 516),
            "{user}: {}",
            answer.text()
        );
        assert!(answer.text().contains("(AUTHENTICATION_FAILED)"));
    }
    let none = Request::new(&format!("{}/", server.url))
        .body("SELECT 1")
        .send();
    if server.is_local() {
        assert_eq!((none.status, none.code()), (403, 516), "{}", none.text());
    }
}

#[test]
fn a_reader_reads_and_nothing_else() {
    let server = Server::start();
    server.execute("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    server.execute("INSERT INTO t VALUES (1)");
    let reader = |sql: &str| server.reader_request().body(sql).send();
    assert_eq!(reader("SELECT a FROM t").ok(), "1\n");
    for sql in [
        "INSERT INTO t VALUES (2)",
        "INSERT INTO t SELECT 2",
        "CREATE TABLE u (a Int8) ENGINE = Memory",
        "DROP TABLE t",
        "TRUNCATE TABLE t",
        "ALTER TABLE t DELETE WHERE 1",
        "OPTIMIZE TABLE t",
        "SET max_threads = 1",
        "SET readonly = 0",
        "SELECT a FROM t SETTINGS max_threads = 1",
        "SELECT a FROM t SETTINGS readonly = 0",
        "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
        "SELECT * FROM file('/etc/passwd', LineAsString)",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT file('/etc/passwd')",
        "DESCRIBE TABLE file('/etc/passwd')",
        "DESCRIBE TABLE url('http://127.0.0.1:1/', CSV)",
        "SELECT * FROM `/etc/passwd`",
        "SELECT 1 INTO OUTFILE '/tmp/never'",
        "SYSTEM FLUSH LOGS",
        "CREATE DATABASE u",
    ] {
        let answer = reader(sql);
        // 60: a server knows no table of a file's name.
        let codes = [164, 358, 497, 60];
        assert!(codes.contains(&answer.code()), "{sql}: {}", answer.text());
    }
    let insert = server
        .reader_request()
        .param("query", "INSERT INTO t FORMAT TabSeparated")
        .body("2\n")
        .send();
    assert!([164, 497].contains(&insert.code()), "{}", insert.text());
    assert_eq!(server.execute("SELECT sum(a) FROM t"), "1");
}

#[test]
fn a_reader_changes_only_the_time_limit() {
    let server = Server::start();
    let sql = "SELECT getSetting('max_execution_time')";
    let allowed = server
        .reader_request()
        .param("max_execution_time", "7")
        .body(sql)
        .send();
    assert_eq!(allowed.ok(), "7\n");
    let unchanged = server
        .reader_request()
        .param("insert_deduplicate", "1")
        .body("SELECT 1")
        .send();
    assert_eq!(unchanged.ok(), "1\n");
    for (name, value) in [("max_threads", "1"), ("readonly", "0"), ("readonly", "2")] {
        let answer = server
            .reader_request()
            .param(name, value)
            .body("SELECT 1")
            .send();
        assert_eq!(
            (answer.status, answer.code()),
            (500, 164),
            "{name}: {}",
            answer.text()
        );
    }
    let handler = server
        .reader_request()
        .param("compress", "0")
        .param("wait_end_of_query", "1")
        .param("default_format", "CSV")
        .param("query_id", "reader's")
        .param("param_x", "1")
        .body("SELECT {x:UInt8}");
    assert_eq!(handler.send().ok(), "1\n");
}

#[tokio::test]
async fn the_crate_reads_as_a_reader() {
    let server = Server::start();
    let client = server
        .client()
        .with_user(&server.reader)
        .with_password(&server.reader_password);
    for compression in [clickhouse::Compression::Lz4, clickhouse::Compression::None] {
        let client = client.clone().with_compression(compression);
        let one = client
            .query("SELECT {x:UInt8}")
            .param("x", 1)
            .fetch_one::<u8>()
            .await
            .unwrap();
        assert_eq!(one, 1);
    }
}
