//! ClickHouse: two users, data that survives, a database of its own.

use weir_stack::{ClickHouse, http};

fn start() -> ClickHouse {
    ClickHouse::start(weir_stack::clickhouse::StartOptions::default()).unwrap()
}

#[test]
fn tables_survive_a_restart_and_a_kill() {
    let clickhouse = start();
    if clickhouse.service().is_err() {
        // A server that WEIR_CLICKHOUSE_URL names is not ours to kill.
        return;
    }
    let execute = |statement: &str| clickhouse.execute(statement).unwrap();
    execute("CREATE TABLE kept (id UInt64) ENGINE = MergeTree ORDER BY id");
    execute("INSERT INTO kept FORMAT TSV\n1\n");
    clickhouse.restart().unwrap();
    execute("INSERT INTO kept FORMAT TSV\n2\n");
    clickhouse.kill().unwrap();
    assert!(clickhouse.execute("SELECT 1").is_err());
    clickhouse.restart().unwrap();
    assert_eq!(execute("SELECT sum(id) FROM kept").trim(), "3");
}

#[tokio::test]
async fn the_reader_reads_and_does_not_write_also_from_asynchronous_code() {
    let clickhouse = start();
    clickhouse
        .execute("CREATE TABLE kept (id UInt64) ENGINE = MergeTree ORDER BY id")
        .unwrap();
    let headers = [
        ("X-ClickHouse-User", clickhouse.reader()),
        ("X-ClickHouse-Key", clickhouse.reader_password()),
        ("X-ClickHouse-Database", clickhouse.database()),
    ];
    let ask = |statement: &str| http::post(clickhouse.url(), &headers, statement).unwrap();
    assert_eq!(ask("SELECT count() FROM kept").body.trim(), "0");
    assert_ne!(ask("INSERT INTO kept FORMAT TSV\n1\n").status, 200);
    let wrong = [headers[0], ("X-ClickHouse-Key", "wrong")];
    let refused = http::post(clickhouse.url(), &wrong, "SELECT 1").unwrap();
    assert_ne!(refused.status, 200);
}

#[test]
fn a_refused_statement_comes_back_with_the_servers_words() {
    let clickhouse = start();
    let error = clickhouse.execute("SELECT * FROM missing").unwrap_err();
    assert!(format!("{error:#}").contains("missing"), "{error:#}");
}
