//! Splits a request's body into events, and tells a body that cannot be split where it is broken.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use weir_event::EventType;

use crate::error::Refusal;
use crate::item::{self, Flaw, Item};
use crate::json::{self, Broken, Elements, Members};

#[cfg(test)]
mod tests;

/// The members of a batch that its events inherit.
const INHERITED: [&str; 2] = ["context", "integrations"];

/// What a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// One event of this type.
    One(EventType),
    /// Many events that name their types.
    Batch,
}

impl Route {
    /// Returns the route of a path's last segment.
    pub(crate) fn from_name(name: &str) -> Option<Route> {
        if name == "batch" {
            return Some(Route::Batch);
        }
        EventType::from_name(name).map(Route::One)
    }

    /// Returns the path's last segment.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Route::One(kind) => kind.as_str(),
            Route::Batch => "batch",
        }
    }
}

/// A body, split.
#[derive(Debug, Default)]
pub(crate) struct Split<'a> {
    /// The bytes of each event. Those of a batch need not be JSON.
    pub(crate) events: Vec<&'a [u8]>,
    /// `writeKey`.
    pub(crate) write_key: Option<Cow<'a, str>>,
    /// `sentAt`.
    pub(crate) sent_at: Option<Cow<'a, str>>,
    /// What a batch says once for all of its events: names and objects.
    pub(crate) inherited: Vec<(&'static str, &'a str)>,
}

/// Limits of one batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitLimits {
    /// Most events.
    pub(crate) events: usize,
    /// Most bytes, what events inherit counted once for each.
    pub(crate) bytes: usize,
}

/// Splits `body` as `route` takes it.
///
/// # Errors
///
/// The body cannot be split, or holds too much.
pub(crate) fn split(body: &[u8], route: Route, limits: SplitLimits) -> Result<Split<'_>, Refusal> {
    // A byte order mark is tolerated, as RFC 8259 allows.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match route {
        Route::One(_) => one(body),
        Route::Batch => batch(body, limits),
    }
}

fn one(body: &[u8]) -> Result<Split<'_>, Refusal> {
    let item = Item::read(body).map_err(|flaw| {
        Refusal::MalformedBody(match flaw {
            Flaw::InvalidJson(message) => message,
            Flaw::NotAnObject => "the body is no JSON object".to_owned(),
        })
    })?;
    Ok(Split {
        events: vec![item.raw.get().as_bytes()],
        write_key: item.fields.write_key,
        sent_at: item.fields.sent_at,
        inherited: Vec::new(),
    })
}

fn batch(body: &[u8], limits: SplitLimits) -> Result<Split<'_>, Refusal> {
    let broken = |broken: Broken| {
        let (line, column) = json::line_and_column(body, broken.at);
        let expected = broken.expected;
        Refusal::MalformedBody(format!("line {line}, column {column}: expected {expected}"))
    };
    let start = json::skip_space(body, 0);
    let expected_object = Broken {
        at: start,
        expected: "an object such as {\"batch\":[…]}",
    };
    let mut members = Members::open(body, start).ok_or_else(|| broken(expected_object))?;
    let mut split = Split::default();
    let mut events = None;
    while let Some(member) = members.next().map_err(broken)? {
        // A name that is no text is none of ours.
        let Ok(quoted) = std::str::from_utf8(&body[member.name.clone()]) else {
            continue;
        };
        let Some(name) = json::string(quoted) else {
            continue;
        };
        match &*name {
            "batch" if events.is_some() => {
                let again = Broken {
                    at: member.name.start,
                    expected: "one batch; this is a second",
                };
                return Err(broken(again));
            }
            "batch" => events = Some(elements(body, member.value, limits.events, broken)?),
            "writeKey" => split.write_key = json::string(strict(body, member.value)?),
            "sentAt" => split.sent_at = json::string(strict(body, member.value)?),
            name => {
                if let Some(name) = INHERITED.into_iter().find(|inherited| *inherited == name) {
                    let value = strict(body, member.value)?;
                    split.inherited.retain(|(earlier, _)| *earlier != name);
                    if value.starts_with('{') && item::ranges(value).next().is_some() {
                        split.inherited.push((name, value));
                    }
                }
            }
        }
    }
    let end = json::skip_space(body, members.end());
    if end < body.len() {
        let expected = "nothing more";
        return Err(broken(Broken { at: end, expected }));
    }
    split.events = events.ok_or_else(|| {
        Refusal::MalformedBody("the body has no /batch, an array of events".to_owned())
    })?;
    let inherited: usize = split.inherited.iter().map(|(_, object)| object.len()).sum();
    if inherited.saturating_mul(split.events.len()) + body.len() > limits.bytes && inherited > 0 {
        return Err(Refusal::DecodedTooLarge(limits.bytes as u64));
    }
    Ok(split)
}

fn elements(
    body: &[u8],
    range: Range<usize>,
    limit: usize,
    broken: impl Fn(Broken) -> Refusal,
) -> Result<Vec<&[u8]>, Refusal> {
    let mut elements = Elements::open(body, range.start)
        .ok_or_else(|| Refusal::MalformedBody("/batch is no array".to_owned()))?;
    let mut events = Vec::new();
    while let Some(event) = elements.next().map_err(&broken)? {
        if events.len() == limit {
            return Err(Refusal::TooManyEvents(limit));
        }
        events.push(&body[event]);
    }
    Ok(events)
}

/// Returns a member's value, which must be JSON.
fn strict(body: &[u8], range: Range<usize>) -> Result<&str, Refusal> {
    let start = range.start;
    match item::strict(&body[range]) {
        Ok(raw) => Ok(raw.get()),
        Err(Flaw::InvalidJson(_) | Flaw::NotAnObject) => {
            let (line, column) = json::line_and_column(body, start);
            Err(Refusal::MalformedBody(format!(
                "line {line}, column {column}: a value that is no JSON"
            )))
        }
    }
}

/// Returns the event with the members of `inherited` objects that its own lack; `None` when it has them all.
///
/// Segment's Go and Java libraries say once for a batch what holds for all of its events.
pub(crate) fn inherit(event: &str, inherited: &[(&'static str, &str)]) -> Option<String> {
    let mut text: Option<String> = None;
    for (name, object) in inherited {
        let current = text.as_deref().unwrap_or(event);
        let own = item::ranges(current)
            .filter(|(member, _)| json::is_named(&current[member.clone()], name))
            .last();
        let filled = match own {
            None => Some(append(current, &format!("\"{name}\":{object}"))),
            Some((_, value)) => fill(&current[value.clone()], object).map(|filled| {
                format!(
                    "{}{filled}{}",
                    &current[..value.start],
                    &current[value.end..]
                )
            }),
        };
        text = filled.or(text);
    }
    text
}

/// Returns `own` with those members of `other` that it lacks; `None` if there are none or it is no object.
fn fill(own: &str, other: &str) -> Option<String> {
    if !own.starts_with('{') {
        return None;
    }
    // A set: both objects may have very many members.
    let names: HashSet<_> = item::members(own).map(|(name, _)| name).collect();
    let missing: Vec<&str> = item::ranges(other)
        .filter(|(name, _)| {
            json::string(&other[name.clone()]).is_some_and(|name| !names.contains(&name))
        })
        .map(|(name, value)| &other[name.start..value.end])
        .collect();
    (!missing.is_empty()).then(|| append(own, &missing.join(",")))
}

/// Returns an object with further members.
fn append(object: &str, members: &str) -> String {
    let comma = if item::ranges(object).next().is_some() {
        ","
    } else {
        ""
    };
    let body = object.strip_suffix('}').unwrap_or(object).trim_end();
    format!("{body}{comma}{members}}}")
}
