//! `{name:Type}` and where the values come from.

use clickhouse::Row;
use serde::Deserialize;

use crate::server::Server;

#[test]
fn parameters_are_values_and_never_sql() {
    let server = Server::start();
    for (value, kind, expected) in [
        ("1", "UInt8", "1"),
        ("it's; DROP TABLE t --", "String", "it\\'s; DROP TABLE t --"),
        ("{x:String}", "String", "{x:String}"),
        ("[1,2,3]", "Array(UInt8)", "[1,2,3]"),
        ("\\N", "Nullable(String)", "\\N"),
        (
            "2026-01-02 03:04:05.678",
            "DateTime64(3, 'UTC')",
            "2026-01-02 03:04:05.678",
        ),
        ("a\\tb", "String", "a\\tb"),
    ] {
        let answer = server
            .request()
            .param("param_x", value)
            .body(format!("SELECT {{x:{kind}}}"))
            .send();
        assert_eq!(answer.ok().trim_end(), expected, "{value}");
    }
    let binary = server
        .request()
        .param("param_x", b"\xff\x01")
        .body("SELECT hex({x:String})")
        .send();
    assert_eq!(binary.ok(), "FF01\n");
}

#[test]
fn parameters_name_tables_and_end_with_their_request() {
    let server = Server::start();
    server.execute("CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a");
    server
        .request()
        .param("param_a", "7")
        .body("INSERT INTO t SELECT {a:Int8}")
        .send()
        .ok();
    server
        .request()
        .param("param_a", "8")
        .body("INSERT INTO t VALUES ({a:Int8})")
        .send()
        .ok();
    let answer = server
        .request()
        .param("param_table", "t")
        .body("SELECT sum(a) FROM {table:Identifier}")
        .send();
    assert_eq!(answer.ok(), "15\n");
    let missing = server.request().body("SELECT {a:Int8}").send();
    assert_eq!(missing.code(), 456, "{}", missing.text());
}

#[test]
fn multipart_bodies_hold_statement_and_parameters() {
    let server = Server::start();
    let answer = server
        .request()
        .args(&[
            "-F",
            "query=SELECT {a:UInt8} + {b:UInt8}",
            "-F",
            "param_a=1",
            "-F",
            "param_b=2",
        ])
        .send();
    assert_eq!(answer.ok(), "3\n");
}

#[tokio::test]
async fn the_crate_sends_parameters() {
    #[derive(Debug, PartialEq, Row, Deserialize)]
    struct Found {
        text: String,
        numbers: Vec<u64>,
    }
    let server = Server::start();
    let found = server
        .client()
        .query("SELECT {text:String} AS text, {numbers:Array(UInt64)} AS numbers")
        .param("text", "it's\n\\fine")
        .param("numbers", vec![1_u64, 2])
        .fetch_one::<Found>()
        .await
        .unwrap();
    assert_eq!(found.text, "it's\n\\fine");
    assert_eq!(found.numbers, [1, 2]);
}
