//! How an import ends, on a collector that takes everything and keeps nothing. ClickHouse is away.

use std::io::{Read, Write, pipe};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use tempfile::TempDir;

const LINE: &str = r#"::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-""#;

/// Starts a collector that answers every request with 200 and this header, then closes.
fn collector(header: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(&mut stream.unwrap(), header);
        }
    });
    address
}

fn serve(stream: &mut TcpStream, header: &str) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let n = stream.read(&mut piece).unwrap();
        if n == 0 {
            return;
        }
        request.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if request.len() >= head.len() + 4 + length {
            break;
        }
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\n{header}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
    )
    .unwrap();
}

/// Prepares an import of a log with one line that is none, by a collector, in a directory.
fn import(collector: SocketAddr, dir: &Path) -> Command {
    let log = dir.join("a.log");
    std::fs::write(&log, format!("{LINE}\nnonsense\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command
        .env_clear()
        .env("WEIR_STACK", dir.join("none.json"))
        // Nobody listens on port 1.
        .env("WEIR_CLICKHOUSE_URL", "http://127.0.0.1:1")
        .current_dir(dir)
        .args(["import", "access-log", "--again"])
        .args(["--url", &format!("http://{collector}"), "--key", "secret"])
        .arg(log)
        .stdin(Stdio::null());
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn rejected_lines_are_findings_even_if_nobody_reads_them() {
    let dir = TempDir::new().unwrap();
    let collector = collector("x-weir-key-class: server");
    let import = || {
        let mut import = import(collector, dir.path());
        import.args(["--source", "a"]);
        import
    };
    let output = import().output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    for form in ["table", "json"] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = import()
            .args(["--output", form])
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{form}: {}", told(&output));
    }
}

#[test]
fn a_key_comes_with_its_source() {
    let dir = TempDir::new().unwrap();
    let collector = collector("x-weir-key-class: server");
    let output = import(collector, dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("--source"), "{}", told(&output));
    let output = import(collector, dir.path())
        .args(["--max-rejects", "1"])
        .env("WEIR_IMPORT_SOURCE", "a")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}

#[test]
fn a_key_of_a_browser_is_refused() {
    let dir = TempDir::new().unwrap();
    let collector = collector("x-weir-key-class: browser");
    let output = import(collector, dir.path())
        .args(["--source", "a"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = told(&output);
    assert!(
        told.contains("of class `browser`") && told.contains("class `server`"),
        "{told}"
    );
}
