//! Finds where the parts of a JSON text begin and end, without building any of them.
//!
//! The scan is iterative (depth costs nothing) and lax: it tracks brackets and strings and looks at nothing else,
//! so that one event which is no JSON does not keep its neighbours from being found. What it finds is checked
//! strictly, event by event, by `serde_json`.

use std::borrow::Cow;
use std::ops::Range;

#[cfg(test)]
mod tests;

/// Where a text stopped being JSON, and what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Byte offset from the start of the text.
    pub(crate) at: usize,
    /// What should have been there.
    pub(crate) expected: &'static str,
}

/// Returns the line and column (both from 1, in bytes) of an offset.
pub(crate) fn line_and_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count()
        + 1;
    (line, column)
}

/// Returns the first offset at or after `at` that is not JSON white space.
pub(crate) fn skip_space(text: &[u8], at: usize) -> usize {
    text[at..]
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        .map_or(text.len(), |n| at + n)
}

/// Returns the offset behind the value that starts at `at`.
///
/// # Errors
///
/// There is no value, or the text ends inside it.
pub(crate) fn skip_value(text: &[u8], at: usize) -> Result<usize, Broken> {
    match text.get(at) {
        Some(b'"') => skip_string(text, at),
        Some(b'{' | b'[') => skip_container(text, at),
        Some(_) => {
            let length = text[at..]
                .iter()
                .position(|byte| ends_word(*byte))
                .unwrap_or(text.len() - at);
            if length == 0 {
                Err(Broken {
                    at,
                    expected: "a value",
                })
            } else {
                Ok(at + length)
            }
        }
        None => Err(Broken {
            at,
            expected: "a value, but the text ends",
        }),
    }
}

/// Says whether a byte ends a number, a literal or whatever stands in the place of one.
fn ends_word(byte: u8) -> bool {
    matches!(
        byte,
        b',' | b':' | b'"' | b'{' | b'}' | b'[' | b']' | b' ' | b'\t' | b'\n' | b'\r'
    )
}

fn skip_string(text: &[u8], at: usize) -> Result<usize, Broken> {
    let mut next = at + 1;
    while let Some(found) = text[next..]
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\'))
    {
        next += found;
        if text[next] == b'"' {
            return Ok(next + 1);
        }
        // The backslash and whatever it escapes.
        next = (next + 2).min(text.len());
    }
    Err(Broken {
        at: text.len(),
        expected: "the end of a string, but the text ends",
    })
}

fn skip_container(text: &[u8], at: usize) -> Result<usize, Broken> {
    let mut depth = 0_usize;
    let mut next = at;
    while let Some(byte) = text.get(next) {
        match byte {
            b'"' => {
                next = skip_string(text, next)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        next += 1;
        if depth == 0 {
            return Ok(next);
        }
    }
    Err(Broken {
        at: text.len(),
        expected: "a closing bracket, but the text ends",
    })
}

/// One member of an object, as offsets into the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The name with its quotes.
    pub(crate) name: Range<usize>,
    /// The value.
    pub(crate) value: Range<usize>,
}

/// The members of an object, in order, repeated names included.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    list: List<'a>,
}

impl<'a> Members<'a> {
    /// Starts behind the opening brace at `at`; `None` when there is none.
    pub(crate) fn open(text: &'a [u8], at: usize) -> Option<Members<'a>> {
        List::open(text, at, b'{', b'}').map(|list| Members { list })
    }

    /// Returns the next member, or `None` behind the closing brace.
    ///
    /// # Errors
    ///
    /// The text is not JSON at this place; nothing more can be read.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, Broken> {
        if !self.list.advance("`,` or `}`")? {
            return Ok(None);
        }
        let text = self.list.text;
        let start = self.list.at;
        if text.get(start) != Some(&b'"') {
            return Err(Broken {
                at: start,
                expected: "a member name in double quotes",
            });
        }
        let name = start..skip_string(text, start)?;
        let colon = skip_space(text, name.end);
        if text.get(colon) != Some(&b':') {
            return Err(Broken {
                at: colon,
                expected: "`:`",
            });
        }
        let value_start = skip_space(text, colon + 1);
        let value = value_start..skip_value(text, value_start)?;
        self.list.at = value.end;
        Ok(Some(Member { name, value }))
    }

    /// Returns the offset behind the closing brace, once `next` returned `None`.
    pub(crate) fn end(&self) -> usize {
        self.list.at
    }
}

/// The elements of an array, in order.
#[derive(Debug)]
pub(crate) struct Elements<'a> {
    list: List<'a>,
}

impl<'a> Elements<'a> {
    /// Starts behind the opening bracket at `at`; `None` when there is none.
    pub(crate) fn open(text: &'a [u8], at: usize) -> Option<Elements<'a>> {
        List::open(text, at, b'[', b']').map(|list| Elements { list })
    }

    /// Returns the next element, or `None` behind the closing bracket.
    ///
    /// # Errors
    ///
    /// The text is not JSON at this place; nothing more can be read.
    pub(crate) fn next(&mut self) -> Result<Option<Range<usize>>, Broken> {
        if !self.list.advance("`,` or `]`")? {
            return Ok(None);
        }
        let start = self.list.at;
        let end = skip_value(self.list.text, start)?;
        self.list.at = end;
        Ok(Some(start..end))
    }
}

/// What objects and arrays share: an opening byte, commas, a closing byte.
#[derive(Debug)]
struct List<'a> {
    text: &'a [u8],
    at: usize,
    close: u8,
    started: bool,
    ended: bool,
}

impl<'a> List<'a> {
    fn open(text: &'a [u8], at: usize, open: u8, close: u8) -> Option<List<'a>> {
        (text.get(at) == Some(&open)).then_some(List {
            text,
            at: at + 1,
            close,
            started: false,
            ended: false,
        })
    }

    /// Moves to the start of the next entry; `false` once the list has ended.
    fn advance(&mut self, expected: &'static str) -> Result<bool, Broken> {
        if self.ended {
            return Ok(false);
        }
        self.at = skip_space(self.text, self.at);
        let byte = self.text.get(self.at).copied();
        if byte == Some(self.close) {
            self.at += 1;
            self.ended = true;
            return Ok(false);
        }
        if self.started {
            if byte != Some(b',') {
                return Err(Broken {
                    at: self.at,
                    expected,
                });
            }
            self.at = skip_space(self.text, self.at + 1);
        }
        self.started = true;
        Ok(true)
    }
}

/// Returns the text of a JSON string; `None` for other values and for strings that are no text
/// (lone surrogates, control characters).
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Returns whether a member's quoted name is `name`, escapes considered.
pub(crate) fn is_named(quoted: &str, name: &str) -> bool {
    string(quoted).is_some_and(|text| text == name)
}
