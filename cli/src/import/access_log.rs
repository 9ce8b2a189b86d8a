//! One line of an access log in the common or combined format, as Apache and nginx write it.
//!
//! Pure: bytes in, fields or a reason out. It does not know what a page is.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

use crate::text::show;

/// The fields of a line that are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Who asked: an address, or a host name where the server looks names up.
    pub(crate) host: String,
    /// When, in Unix milliseconds.
    pub(crate) ts_ms: i64,
    /// What was asked for.
    pub(crate) request: Request,
    /// Status of the answer, three digits.
    pub(crate) status: u16,
    /// Size of the answer's body; `-` is 0.
    pub(crate) bytes: u64,
    /// Address of the referrer; empty when absent.
    pub(crate) referrer: String,
    /// User agent; empty when absent.
    pub(crate) agent: String,
}

/// A request line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Method and target; the protocol is not kept.
    Call {
        /// As sent, `GET`.
        method: String,
        /// As sent, query included.
        target: String,
    },
    /// No HTTP: nothing at all, or what scanners and misdirected TLS clients send.
    Unreadable(String),
}

/// Why a line is no line of an access log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reject {
    /// A field that every line has is missing.
    #[error("the line ends before the {0}")]
    Missing(&'static str),
    /// A quoted field has no end.
    #[error("the {0} has no closing quote")]
    Unterminated(&'static str),
    /// Something follows a closing quote.
    #[error("the {0} contains a quote that is not escaped")]
    UnescapedQuote(&'static str),
    /// A field does not look like what it should be.
    #[error("the {field} \"{found}\" is not {expected}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// Its beginning.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// Reads a line without its line end.
///
/// # Errors
/// Says which field is wrong.
pub(crate) fn parse(line: &[u8]) -> Result<Line, Reject> {
    let (host, rest) = word(line, "address")?;
    if host.contains(&b'"') || host.contains(&b'[') {
        return Err(invalid("address", host, "an address or host name"));
    }
    // Ident and user are skipped; a user name may contain blanks and brackets.
    let (ts_ms, rest) = find_time(rest)?;
    let (request, rest) = quoted(rest, "request")?;
    let (status, rest) = word(rest, "status")?;
    let (bytes, rest) = word(rest, "size")?;
    let status = number(status)
        .filter(|_| status.len() == 3)
        .and_then(|code| u16::try_from(code).ok())
        .ok_or_else(|| invalid("status", status, "a number of three digits"))?;
    let bytes = match bytes {
        b"-" => 0,
        digits => number(digits).ok_or_else(|| invalid("size", digits, "a number or -"))?,
    };
    // The common format ends here; what follows the agent is somebody's extension.
    let (referrer, agent) = if rest.trim_ascii().is_empty() {
        (String::new(), String::new())
    } else {
        let (referrer, rest) = quoted(rest, "referrer")?;
        let (agent, _) = quoted(rest, "agent")?;
        (absent_or_text(referrer), absent_or_text(agent))
    };
    Ok(Line {
        host: text(host),
        ts_ms,
        request: read_request(request),
        status,
        bytes,
        referrer,
        agent,
    })
}

fn invalid(field: &'static str, found: &[u8], expected: &'static str) -> Reject {
    const SHOWN: usize = 40;
    Reject::Invalid {
        field,
        found: show(&found[..found.len().min(SHOWN)]).into_owned(),
        expected,
    }
}

fn word<'a>(line: &'a [u8], field: &'static str) -> Result<(&'a [u8], &'a [u8]), Reject> {
    let line = line.trim_ascii_start();
    let end = line
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(line.len());
    if end == 0 {
        return Err(Reject::Missing(field));
    }
    Ok(line.split_at(end))
}

/// Returns what is between quotes, still escaped, and what follows.
fn quoted<'a>(line: &'a [u8], field: &'static str) -> Result<(&'a [u8], &'a [u8]), Reject> {
    let line = line.trim_ascii_start();
    let Some(inner) = line.strip_prefix(b"\"") else {
        return Err(if line.is_empty() {
            Reject::Missing(field)
        } else {
            invalid(field, line, "in quotes")
        });
    };
    let mut at = 0;
    while let Some(byte) = inner.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => {
                let rest = &inner[at + 1..];
                return match rest.first() {
                    Some(next) if !next.is_ascii_whitespace() => Err(Reject::UnescapedQuote(field)),
                    _ => Ok((&inner[..at], rest)),
                };
            }
            _ => at += 1,
        }
    }
    Err(Reject::Unterminated(field))
}

/// Finds the first bracket that opens a time such as `[10/Oct/2000:13:55:36 -0700]`.
fn find_time(line: &[u8]) -> Result<(i64, &[u8]), Reject> {
    const LENGTH: usize = "10/Oct/2000:13:55:36 -0700".len();
    let mut first = None;
    for (at, byte) in line.iter().enumerate() {
        if *byte != b'[' {
            continue;
        }
        let inner = &line[at + 1..];
        let time = inner
            .get(..LENGTH)
            .filter(|_| inner.get(LENGTH) == Some(&b']'));
        if let Some(ts_ms) = time.and_then(read_time) {
            return Ok((ts_ms, &inner[LENGTH + 1..]));
        }
        first.get_or_insert(inner);
    }
    Err(match first {
        None => Reject::Missing("time"),
        Some(inner) => {
            let end = inner
                .iter()
                .position(|byte| *byte == b']')
                .unwrap_or(inner.len());
            invalid(
                "time",
                &inner[..end],
                "a time such as 10/Oct/2000:13:55:36 -0700",
            )
        }
    })
}

fn read_time(text: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let separators = [
        (2, b'/'),
        (6, b'/'),
        (11, b':'),
        (14, b':'),
        (17, b':'),
        (20, b' '),
    ];
    if separators.iter().any(|(at, byte)| text[*at] != *byte) {
        return None;
    }
    let digits = |from: usize, to: usize| number(&text[from..to]);
    let small = |from: usize| digits(from, from + 2).and_then(|n| u8::try_from(n).ok());
    let month = MONTHS
        .iter()
        .position(|month| text[3..6].eq_ignore_ascii_case(month))?;
    let month = Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
    let year = i32::try_from(digits(7, 11)?).ok()?;
    let date = Date::from_calendar_date(year, month, small(0)?).ok()?;
    // A leap second is the last one of its minute.
    let time = Time::from_hms(small(12)?, small(15)?, small(18)?.min(59)).ok()?;
    let sign = match text[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = (
        i8::try_from(small(22)?).ok()?,
        i8::try_from(small(24)?).ok()?,
    );
    let offset = UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?;
    let at: OffsetDateTime = PrimitiveDateTime::new(date, time).assume_offset(offset);
    Some(at.unix_timestamp() * 1000)
}

fn number(digits: &[u8]) -> Option<u64> {
    // `parse` alone would take a plus sign.
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn read_request(escaped: &[u8]) -> Request {
    let line = text(escaped);
    let call = line.split_once(' ').and_then(|(method, rest)| {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        // HTTP/0.9 has no protocol; a target with blanks in it is sent by broken clients.
        let target = match rest.rsplit_once(' ') {
            Some((target, protocol)) if protocol.starts_with("HTTP/") => target,
            _ => rest,
        };
        let readable = !method.is_empty() && method.chars().all(token) && !target.is_empty();
        readable.then(|| Request::Call {
            method: method.to_owned(),
            target: target.to_owned(),
        })
    });
    match call {
        Some(call) => call,
        None if line == "-" => Request::Unreadable(String::new()),
        None => Request::Unreadable(line),
    }
}

fn absent_or_text(escaped: &[u8]) -> String {
    match escaped {
        b"-" => String::new(),
        _ => text(escaped),
    }
}

/// Returns a field as text: unescaped if that gives readable text, else with its escapes, bytes
/// that are no UTF-8 being escaped as well.
fn text(escaped: &[u8]) -> String {
    if let Some(plain) = unescape(escaped)
        && let Ok(plain) = String::from_utf8(plain)
        && !plain.chars().any(|c| c.is_ascii_control())
    {
        return plain;
    }
    show(escaped).into_owned()
}

/// Undoes `\"`, `\\` and `\xHH`; `None` if there is any other escape.
fn unescape(escaped: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(escaped.len());
    let mut rest = escaped.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'\\' {
            plain.push(*byte);
            continue;
        }
        match rest.next()? {
            b'x' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                let value = digit()? * 16 + digit()?;
                plain.push(u8::try_from(value).ok()?);
            }
            other @ (b'"' | b'\\') => plain.push(*other),
            _ => return None,
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests;
