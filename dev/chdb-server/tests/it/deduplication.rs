//! What exactly-once delivery rests on: a token makes a second insert of the same rows harmless, in the table and in its views.

use crate::curl::Answer;
use crate::server::Server;

fn with_view() -> Server {
    let server = Server::start();
    server.execute(
        "CREATE TABLE events (id UInt64, amount UInt64) ENGINE = MergeTree ORDER BY id \
         SETTINGS non_replicated_deduplication_window = 1000",
    );
    server.execute(
        "CREATE TABLE sums (total SimpleAggregateFunction(sum, UInt64), zero UInt8) ENGINE = AggregatingMergeTree ORDER BY zero \
         SETTINGS non_replicated_deduplication_window = 1000",
    );
    server.execute(
        "CREATE MATERIALIZED VIEW sums_view TO sums AS SELECT sum(amount) AS total, 0 AS zero FROM events",
    );
    server
}

fn insert(server: &Server, token: &str, rows: &str) -> Answer {
    let request = server
        .request()
        .param("query", "INSERT INTO events FORMAT TabSeparated")
        .param("async_insert", "0")
        .param("insert_deduplicate", "1")
        .param("deduplicate_blocks_in_dependent_materialized_views", "1");
    let request = if token.is_empty() {
        request
    } else {
        request.param("insert_deduplication_token", token)
    };
    request.body(rows).send()
}

fn totals(server: &Server) -> String {
    server.execute("SELECT (SELECT count() FROM events), (SELECT sum(total) FROM sums)")
}

#[test]
fn a_resend_with_the_same_token_changes_nothing() {
    let server = with_view();
    let first = insert(&server, "batch 1", "1\t10\n2\t20\n");
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(first.summary("written_rows") >= 2);
    assert_eq!(totals(&server), "2\t30");
    for _ in 0..3 {
        let again = insert(&server, "batch 1", "1\t10\n2\t20\n");
        assert_eq!(again.status, 200, "{}", again.text());
        assert_eq!(totals(&server), "2\t30");
    }
    // Other rows under another token, also equal ones, are new.
    insert(&server, "batch 2", "1\t10\n2\t20\n").ok();
    assert_eq!(totals(&server), "4\t60");
}

#[test]
fn a_resend_heals_a_view_that_failed() {
    let server = with_view();
    server.execute("CREATE TABLE others (id UInt64) ENGINE = MergeTree ORDER BY id");
    server.execute(
        "CREATE MATERIALIZED VIEW failing TO others AS SELECT id + throwIf(id = 2, 'broken') AS id FROM events",
    );
    let failed = insert(&server, "batch 1", "1\t10\n2\t20\n");
    assert_eq!(failed.code(), 395, "{}", failed.text());
    server.execute("DROP VIEW failing");
    insert(&server, "batch 1", "1\t10\n2\t20\n").ok();
    assert_eq!(totals(&server), "2\t30");
    insert(&server, "batch 1", "1\t10\n2\t20\n").ok();
    assert_eq!(totals(&server), "2\t30");
}

#[test]
fn a_resend_heals_a_view_that_a_kill_left_out() {
    let server = with_view();
    server.execute("CREATE TABLE slow (id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000");
    server.execute("CREATE MATERIALIZED VIEW slow_view TO slow AS SELECT id + sleepEachRow(0.02) AS id FROM events");
    let rows: String = (0..100).map(|id| format!("{id}\t1\n")).collect();
    let send = || {
        server
            .request()
            .param("query", "INSERT INTO events FORMAT TabSeparated")
            .param("query_id", "slow insert")
            .param("insert_deduplication_token", "batch 1")
            .param("async_insert", "0")
            .param("deduplicate_blocks_in_dependent_materialized_views", "1")
            .param("function_sleep_max_microseconds_per_block", "0")
            .body(rows.as_str())
    };
    let running = send().start();
    server.wait_for(
        "SELECT count() FROM system.processes WHERE query_id = 'slow insert'",
        "1",
    );
    server.execute("KILL QUERY WHERE query_id = 'slow insert' SYNC");
    let killed = running.wait();
    assert_eq!(
        (killed.status, killed.code()),
        (500, 394),
        "{}",
        killed.text()
    );
    assert_eq!(server.execute("SELECT count() FROM slow"), "0");
    for _ in 0..2 {
        send().send().ok();
        assert_eq!(totals(&server), "100\t100");
        assert_eq!(server.execute("SELECT count() FROM slow"), "100");
    }
}

#[test]
fn tokens_survive_kill_9() {
    let Some(mut server) = Server::local("needs to kill the server", &[]) else {
        return;
    };
    server.execute(
        "CREATE TABLE events (id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 1000",
    );
    insert(&server, "batch 1", "1\n2\n").ok();
    server.signal(nix::sys::signal::Signal::SIGKILL);
    server.restart();
    insert(&server, "batch 1", "1\n2\n").ok();
    insert(&server, "batch 2", "3\n").ok();
    assert_eq!(server.execute("SELECT count() FROM events"), "3");
}
