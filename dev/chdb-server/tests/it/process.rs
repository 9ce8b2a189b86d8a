//! The server as a process: start, end, crash, help.

use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::server::{Server, command};

#[test]
fn stored_rows_survive_kill_9() {
    let Some(mut server) = Server::local("needs to kill the server", &[]) else {
        return;
    };
    server.execute("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    for round in 0..3 {
        server.execute("INSERT INTO t SELECT number FROM numbers(1000)");
        let _running = server
            .request()
            .body("INSERT INTO t SELECT number FROM numbers(100000000000)")
            .start();
        server.signal(Signal::SIGKILL);
        server.restart();
        let count: u64 = server
            .execute("SELECT count() FROM t WHERE a < 1000")
            .parse()
            .unwrap();
        assert!(count >= (round + 1) * 1000, "{count} in round {round}");
        server.execute("DROP TABLE IF EXISTS u SYNC");
        server.execute("CREATE TABLE u (a UInt64) ENGINE = MergeTree ORDER BY a");
    }
}

#[test]
fn a_directory_has_one_server() {
    let Some(server) = Server::local("needs a data directory", &[]) else {
        return;
    };
    let second = command(server.data())
        .args(["--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(
        error.contains("is in use by another weir-chdb-server"),
        "{error}"
    );
    assert_eq!(server.execute("SELECT 1"), "1");
}

#[test]
fn sigterm_and_sigint_end_the_server_when_queries_are_done() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let Some(mut server) = Server::local("needs to end the server", &[]) else {
            return;
        };
        let running = server
            .request()
            .param("query_id", "short")
            .body("SELECT sleep(1.5)")
            .start();
        server.wait_for(
            "SELECT count() FROM system.processes WHERE query_id = 'short'",
            "1",
        );
        server.signal(signal);
        assert_eq!(running.wait().ok(), "0\n");
        assert_eq!(server.wait(), Some(0));
    }
}

#[test]
fn queries_that_do_not_end_are_cancelled_at_the_end() {
    let Some(mut server) = Server::local("needs to end the server", &["--shutdown-timeout", "0.2"])
    else {
        return;
    };
    let endless = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))";
    let running = server
        .request()
        .param("query_id", "endless")
        .body(endless)
        .start();
    server.wait_for(
        "SELECT count() FROM system.processes WHERE query_id = 'endless'",
        "1",
    );
    server.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), 394);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn the_address_is_written_to_a_file_when_ready() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("address");
    let Some(server) = Server::local(
        "needs a server of its own",
        &["--ready-file", file.to_str().unwrap()],
    ) else {
        return;
    };
    assert_eq!(
        std::fs::read_to_string(file).unwrap(),
        format!("{}\n", server.url)
    );
}

#[test]
fn a_missing_engine_is_one_clear_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_weir-chdb-server"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--lib",
            "/no/such/libchdb.so",
            "--path",
        ])
        .arg(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("cannot load the ClickHouse engine from /no/such/libchdb.so"),
        "{error}"
    );
}

#[test]
fn help_tells_every_option() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_weir-chdb-server"))
        .arg("--help")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for option in [
        "--listen",
        "--path",
        "--lib",
        "--admin-password",
        "--reader-user",
        "--connections",
        "--queue",
        "--ready-file",
    ] {
        assert!(text.contains(option), "{option} is missing in {text}");
    }
    assert!(!text.contains("s3cret"));
}
