//! One blocking HTTP request: enough for readiness probes and for statements to ClickHouse.
//!
//! HTTP/1.0, so that an answer ends with its connection and needs no decoding. Usable inside asynchronous tests, where a
//! blocking client with a runtime of its own would panic. No TLS: the stack lives on the loopback address.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longest time for a probe to connect, and again to be answered.
const PROBE: Duration = Duration::from_secs(5);
/// Longest time for a statement.
const STATEMENT: Duration = Duration::from_secs(120);

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

/// Fetches `url` (`http://host:port/path`).
///
/// # Errors
/// Nobody answers, or not in HTTP. A status other than 200 is not an error.
pub fn get(url: &str) -> Result<Answer> {
    request("GET", url, &[], "", PROBE)
}

/// Posts `body` to `url` with extra headers.
///
/// # Errors
/// As [`get`].
pub fn post(url: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
    request("POST", url, headers, body, STATEMENT)
}

fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
    within: Duration,
) -> Result<Answer> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("{url} does not begin with http://, the only scheme the local stack speaks");
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut head = format!("{method} /{path} HTTP/1.0\r\nHost: {host}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("Connection: close\r\n\r\n");
    let answer =
        exchange(host, &head, body, within).with_context(|| format!("no answer from {url}"))?;
    parse(&answer).with_context(|| format!("{url} does not answer in HTTP"))
}

fn exchange(host: &str, head: &str, body: &str, within: Duration) -> Result<Vec<u8>> {
    let with_port = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = with_port
        .to_socket_addrs()?
        .next()
        .with_context(|| format!("{host} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PROBE)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn parse(answer: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .context("no end of the headers")?;
    let status = head
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .context("no status line")?;
    Ok(Answer {
        status: status.parse()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_read() {
        let answer =
            parse(b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nnot\r\n\r\nyet").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (503, "not\r\n\r\nyet")
        );
    }

    #[test]
    fn a_tls_address_is_refused_in_one_sentence() {
        let error = get("https://127.0.0.1:1/").unwrap_err();
        assert!(error.to_string().contains("http://"), "{error}");
    }
}
