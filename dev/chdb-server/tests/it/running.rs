//! Statements side by side, and ended before their time.

use std::sync::mpsc;
use std::time::Instant;

use weir_stack::wait::{self, Check};

use crate::server::{DEADLINE, Server};

/// Runs for hours.
const ENDLESS: &str =
    "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))";

fn is_running(server: &Server, id: &str) -> String {
    format!(
        "SELECT count() FROM system.processes WHERE query_id = '{id}' AND {}",
        if server.is_local() {
            "1"
        } else {
            "is_initial_query"
        }
    )
}

#[test]
fn a_running_query_is_seen_and_killed() {
    let server = Server::start();
    let running = server
        .request()
        .param("query_id", "endless")
        .body(ENDLESS)
        .start();
    server.wait_for(&is_running(&server, "endless"), "1");
    let again = server
        .request()
        .param("query_id", "endless")
        .body("SELECT 1")
        .send();
    assert_eq!((again.status, again.code()), (500, 216), "{}", again.text());
    let killed = server.execute("KILL QUERY WHERE query_id = 'endless' SYNC");
    assert!(killed.starts_with("finished"), "{killed}");
    let answer = running.wait();
    assert_eq!(
        (answer.status, answer.code()),
        (500, 394),
        "{}",
        answer.text()
    );
    assert_eq!(server.execute(&is_running(&server, "endless")), "0");
    assert_eq!(
        server
            .request()
            .param("query_id", "endless")
            .body("SELECT 1")
            .send()
            .ok(),
        "1\n"
    );
}

#[test]
fn a_query_that_takes_too_long_ends() {
    let server = Server::start();
    let started = Instant::now();
    let answer = server
        .request()
        .param("max_execution_time", "1")
        .body(ENDLESS)
        .send();
    assert_eq!(
        (answer.status, answer.code()),
        (408, 159),
        "{}",
        answer.text()
    );
    let answer = server
        .request()
        .body(format!("{ENDLESS} SETTINGS max_execution_time = 1"))
        .send();
    assert_eq!(
        (answer.status, answer.code()),
        (408, 159),
        "{}",
        answer.text()
    );
    assert!(started.elapsed() < DEADLINE);
}

#[test]
fn queries_run_side_by_side() {
    let server = Server::start();
    server.execute("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let ids = ["first", "second", "third"];
    let running = ids.map(|id| server.request().param("query_id", id).body(ENDLESS).start());
    server.wait_for(
        "SELECT count() FROM system.processes WHERE query_id IN ('first', 'second', 'third')",
        "3",
    );
    // There is room for others meanwhile.
    server.execute("INSERT INTO t VALUES (1)");
    assert_eq!(server.execute("SELECT count() FROM t"), "1");
    server.execute("KILL QUERY WHERE query_id IN ('first', 'second', 'third') SYNC");
    for running in running {
        assert_eq!(running.wait().code(), 394);
    }
}

#[test]
fn inserts_run_side_by_side() {
    let server = Server::start();
    server.execute("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    std::thread::scope(|scope| {
        for writer in 0..4_u64 {
            let server = &server;
            scope.spawn(move || {
                for batch in 0..10 {
                    let rows: String = (0..100)
                        .map(|row| format!("{}\n", writer * 1000 + batch * 100 + row))
                        .collect();
                    server
                        .request()
                        .param("query", "INSERT INTO t FORMAT TabSeparated")
                        .body(rows)
                        .send()
                        .ok();
                }
            });
        }
    });
    assert_eq!(
        server.execute("SELECT count(), uniqExact(a), max(a) FROM t"),
        "4000\t4000\t3999"
    );
}

#[test]
fn a_query_ends_with_its_client_if_that_is_asked_for() {
    let server = Server::start();
    let start = |id: &str, cancel: &str| {
        let running = server
            .request()
            .param("query", ENDLESS)
            .param("query_id", id)
            .param("cancel_http_readonly_queries_on_client_close", cancel)
            .start();
        server.wait_for(&is_running(&server, id), "1");
        running
    };
    let (leaves, stays) = (start("leaves", "1"), start("stays", "0"));
    leaves.kill();
    stays.kill();
    server.wait_for(&is_running(&server, "leaves"), "0");
    assert_eq!(server.execute(&is_running(&server, "stays")), "1");
    server.execute("KILL QUERY WHERE query_id = 'stays' SYNC");
}

#[test]
fn a_query_whose_client_stops_reading_ends_with_it() {
    let server = Server::start();
    let running = server
        .request()
        .param("query_id", "stream")
        .args(&["--limit-rate", "1k"])
        .body("SELECT number FROM numbers(100000000000)")
        .start();
    server.wait_for(&is_running(&server, "stream"), "1");
    running.kill();
    server.wait_for(&is_running(&server, "stream"), "0");
}

#[test]
fn too_many_queries_are_turned_away_and_kill_gets_through() {
    let arguments = ["--connections", "2", "--queue", "1"];
    let Some(server) = Server::local("needs a small server", &arguments) else {
        return;
    };
    let running =
        ["first", "second"].map(|id| server.request().param("query_id", id).body(ENDLESS).start());
    let seen = "KILL QUERY WHERE query_id IN ('first', 'second') TEST FORMAT JSONEachRow";
    let both = wait::until("both queries to run", DEADLINE, || {
        let list = server.execute(seen);
        Check::that(list.lines().count() == 2, list)
    });
    both.unwrap();
    // One of four finds room to wait, the others are turned away at once.
    let (sender, answers) = mpsc::channel();
    for _ in 0..4 {
        let (sender, running) = (sender.clone(), server.request().body("SELECT 3").start());
        std::thread::spawn(move || sender.send(running.wait()));
    }
    for _ in 0..3 {
        let answer = answers.recv_timeout(DEADLINE).unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (503, 202),
            "{}",
            answer.text()
        );
    }
    server.execute("KILL QUERY WHERE query_id = 'first' OR query_id = 'second' ASYNC");
    for running in running {
        assert_eq!(running.wait().code(), 394);
    }
    assert_eq!(answers.recv_timeout(DEADLINE).unwrap().ok(), "3\n");
}
