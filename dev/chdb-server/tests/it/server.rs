//! The server under test: a fresh local one, or the one `WEIR_CLICKHOUSE_URL` names.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use clickhouse::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use weir_stack::wait::{self, Check};

use crate::curl::Request;

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const PASSWORD: &str = "s3cret 'admin'";
const READER_PASSWORD: &str = "s3cret reader";

/// A server with a database of its own.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) reader: String,
    pub(crate) reader_password: String,
    pub(crate) database: String,
    local: Option<Local>,
}

struct Local {
    process: Child,
    /// The server ends when this closes, also if the test is killed.
    _stdin: ChildStdin,
    data: TempDir,
}

impl Server {
    /// Starts a server, or uses the one that is named.
    pub(crate) fn start() -> Self {
        match std::env::var("WEIR_CLICKHOUSE_URL") {
            Ok(url) if !url.is_empty() => Self::external(&url),
            _ => Self::start_local(&[]),
        }
    }

    /// Starts a local server with more arguments; `None`, with a word about it, when the tests run against another one.
    pub(crate) fn local(why: &str, arguments: &[&str]) -> Option<Self> {
        if std::env::var("WEIR_CLICKHOUSE_URL").is_ok_and(|url| !url.is_empty()) {
            println!("skipped with WEIR_CLICKHOUSE_URL: {why}");
            return None;
        }
        Some(Self::start_local(arguments))
    }

    fn start_local(arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (process, stdin, url) = spawn(data.path(), arguments);
        let server = Self {
            url,
            user: "admin".to_owned(),
            password: PASSWORD.to_owned(),
            reader: "reader".to_owned(),
            reader_password: READER_PASSWORD.to_owned(),
            database: "contract".to_owned(),
            local: Some(Local {
                process,
                _stdin: stdin,
                data,
            }),
        };
        server.execute_in("", "CREATE DATABASE contract");
        server
    }

    fn external(url: &str) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let name = format!("weir_contract_{}", uuid::Uuid::new_v4().simple());
        let given_reader = variable("WEIR_CLICKHOUSE_READER_USER");
        let given_password = variable("WEIR_CLICKHOUSE_READER_PASSWORD").unwrap_or_default();
        let mut server = Self {
            url: url.trim_end_matches('/').to_owned(),
            user: variable("WEIR_CLICKHOUSE_USER").unwrap_or_else(|| "default".to_owned()),
            password: variable("WEIR_CLICKHOUSE_PASSWORD").unwrap_or_default(),
            reader: given_reader.clone().unwrap_or_else(|| name.clone()),
            reader_password: given_password,
            database: name,
            local: None,
        };
        server.execute_in("", &format!("CREATE DATABASE {}", server.database));
        if given_reader.is_none() {
            READER_PASSWORD.clone_into(&mut server.reader_password);
            server.execute(&format!(
                "CREATE USER {} IDENTIFIED BY '{READER_PASSWORD}' SETTINGS readonly = 1, max_execution_time CHANGEABLE_IN_READONLY",
                server.reader
            ));
            server.execute(&format!(
                "GRANT SELECT ON {}.* TO {}",
                server.database, server.reader
            ));
        }
        server
    }

    /// Tells whether this is the local server.
    pub(crate) fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Returns the local server's data directory.
    pub(crate) fn data(&self) -> &Path {
        self.local.as_ref().expect("a local server").data.path()
    }

    /// Sends the local server a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.local.as_ref().expect("a local server").process.id();
        kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end of the local server and returns its exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let process = &mut self.local.as_mut().expect("a local server").process;
        let status = wait::until("the server to end", DEADLINE, || {
            match process.try_wait().unwrap() {
                Some(status) => Check::Done(status),
                None => Check::NotYet("still running".to_owned()),
            }
        });
        status.unwrap().code()
    }

    /// Starts the local server, which has ended, again on its data.
    pub(crate) fn restart(&mut self) {
        self.wait();
        let local = self.local.as_mut().expect("a local server");
        let (process, stdin, url) = spawn(local.data.path(), &[]);
        local.process = process;
        local._stdin = stdin;
        self.url = url;
    }

    /// A request with the administrator's credentials, in the test's database.
    pub(crate) fn request(&self) -> Request {
        self.request_as(&self.user, &self.password)
            .header("X-ClickHouse-Database", &self.database)
    }

    /// A request with the reader's credentials, in the test's database.
    pub(crate) fn reader_request(&self) -> Request {
        self.request_as(&self.reader, &self.reader_password)
            .header("X-ClickHouse-Database", &self.database)
    }

    /// A request with some credentials.
    pub(crate) fn request_as(&self, user: &str, password: &str) -> Request {
        Request::new(&format!("{}/", self.url))
            .header("X-ClickHouse-User", user)
            .header("X-ClickHouse-Key", password)
    }

    /// Runs a statement and returns its output, tab separated, without the last line end.
    pub(crate) fn execute(&self, sql: &str) -> String {
        self.execute_in(&self.database, sql)
    }

    fn execute_in(&self, database: &str, sql: &str) -> String {
        self.request_as(&self.user, &self.password)
            .param("database", database)
            .body(sql)
            .send()
            .ok()
            .trim_end_matches('\n')
            .to_owned()
    }

    /// Waits until a statement's output is `expected`.
    pub(crate) fn wait_for(&self, sql: &str, expected: &str) {
        let outcome = wait::until(&format!("{expected:?} from {sql}"), DEADLINE, || {
            let seen = self.execute(sql);
            Check::that(seen == expected, format!("{seen:?}"))
        });
        outcome.unwrap();
    }

    /// A client of the crate the pipeline uses.
    pub(crate) fn client(&self) -> Client {
        Client::default()
            .with_url(&self.url)
            .with_user(&self.user)
            .with_password(&self.password)
            .with_database(&self.database)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        match &mut self.local {
            Some(local) => {
                let _ended = local.process.kill();
                let _ended = local.process.wait();
            }
            None if !std::thread::panicking() => {
                if self.reader == self.database {
                    self.execute(&format!("DROP USER {}", self.reader));
                }
                self.execute(&format!("DROP DATABASE IF EXISTS {}", self.database));
            }
            None => {}
        }
    }
}

fn spawn(data: &Path, arguments: &[&str]) -> (Child, ChildStdin, String) {
    let mut process = command(data)
        .args(["--listen", "127.0.0.1:0", "--until-stdin-closes"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let stdin = process.stdin.take().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.next().expect("a line on standard output").unwrap();
    let url = line
        .strip_prefix("listening on ")
        .expect("the address")
        .to_owned();
    (process, stdin, url)
}

/// The server's command with everything but the address.
pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir-chdb-server"));
    command
        .arg("--path")
        .arg(data)
        .arg("--lib")
        .arg(library())
        .args(["--admin-user", "admin"])
        .env("WEIR_CHDB_PASSWORD", PASSWORD)
        .env("WEIR_CHDB_READER_PASSWORD", READER_PASSWORD)
        .env("RUST_LOG", "warn");
    command
}

fn library() -> std::path::PathBuf {
    match std::env::var_os("WEIR_LIBCHDB") {
        Some(path) if !path.is_empty() => path.into(),
        _ => weir_stack::artifacts::libchdb().unwrap(),
    }
}
