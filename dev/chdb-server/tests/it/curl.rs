//! Requests by curl as a child process: a client that shares no code with the server.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// A request in the making.
#[derive(Clone)]
pub(crate) struct Request {
    url: String,
    query: Vec<(String, Vec<u8>)>,
    arguments: Vec<String>,
    body: Option<Vec<u8>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// curl's own exit code: 0 if the answer was complete.
    pub(crate) exit: i32,
    pub(crate) status: u16,
    /// By lower case name.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// A request under way.
pub(crate) struct Running(Child);

impl Request {
    /// A request to an address.
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            query: Vec::new(),
            arguments: Vec::new(),
            body: None,
        }
    }

    /// Adds a URL parameter.
    pub(crate) fn param(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.query.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Adds a header.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        self.args(&["-H", &format!("{name}: {value}")])
    }

    /// Adds arguments for curl.
    pub(crate) fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Sets the body, which makes it a POST.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Starts the request without waiting for its end.
    pub(crate) fn start(self) -> Running {
        let pairs: Vec<String> = self
            .query
            .iter()
            .map(|(name, value)| format!("{name}={}", escape(value)))
            .collect();
        let separator = if pairs.is_empty() { "" } else { "?" };
        let mut command = Command::new("curl");
        command
            .args(["-sS", "-i", "--max-time", "120"])
            .args(&self.arguments);
        if self.body.is_some() {
            command.args(["--data-binary", "@-", "-H", "Expect:"]);
        }
        let mut child = command
            .arg(format!("{}{separator}{}", self.url, pairs.join("&")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("curl is installed");
        let mut input = child.stdin.take().expect("a pipe");
        if let Some(body) = self.body {
            // The server may refuse before it has read all.
            let _refused = input.write_all(&body);
        }
        drop(input);
        Running(child)
    }

    /// Sends the request and waits for the answer.
    pub(crate) fn send(self) -> Answer {
        self.start().wait()
    }
}

impl Running {
    /// Waits for the answer.
    pub(crate) fn wait(self) -> Answer {
        let output = self.0.wait_with_output().expect("curl ends");
        let exit = output.status.code().unwrap_or(-1);
        let mut rest = output.stdout.as_slice();
        let mut answer = Answer {
            exit,
            status: 0,
            headers: BTreeMap::new(),
            body: Vec::new(),
        };
        // Interim answers have heads of their own.
        while answer.status < 200 && rest.starts_with(b"HTTP/") {
            let end = rest
                .windows(4)
                .position(|part| part == b"\r\n\r\n")
                .expect("a whole head");
            let head = String::from_utf8_lossy(&rest[..end]).into_owned();
            let mut lines = head.lines();
            let status = lines.next().and_then(|line| line.split(' ').nth(1));
            answer.status = status.and_then(|text| text.parse().ok()).expect("a status");
            answer.headers = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            rest = &rest[end + 4..];
        }
        answer.body = rest.to_vec();
        answer
    }

    /// Breaks the connection off.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("curl runs");
        self.0.wait().expect("curl ends");
    }
}

impl Answer {
    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns a header's value, empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns the numeric code of the exception, 0 if there is none.
    pub(crate) fn code(&self) -> i32 {
        self.header("x-clickhouse-exception-code")
            .parse()
            .unwrap_or_default()
    }

    /// Returns a number of the summary.
    pub(crate) fn summary(&self, field: &str) -> u64 {
        let summary: BTreeMap<String, String> =
            serde_json::from_str(self.header("x-clickhouse-summary")).expect("a summary");
        summary[field].parse().expect("a number")
    }

    /// Returns the body of a success.
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.status, self.exit), (200, 0), "{}", self.text());
        self.text()
    }
}

fn escape(value: &[u8]) -> String {
    value
        .iter()
        .map(|&byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
