//! Splits SQL into tokens, lazily, so that the binary rows behind an INSERT are never looked at.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, a bare name or a number.
    Word,
    /// A name in backticks or double quotes.
    QuotedName,
    /// A string.
    String,
    /// Any other character.
    Sign,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    /// Its kind.
    pub(super) kind: Kind,
    /// Its text; of a quoted name what is inside, escapes included.
    pub(super) text: &'a [u8],
    /// Where it begins.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// How many brackets are open around it, its own not counted.
    pub(super) depth: usize,
}

impl Token<'_> {
    /// Tells whether this is the keyword or sign `text`, upper case or not.
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Sign)
            && self.text.eq_ignore_ascii_case(text.as_bytes())
    }

    /// Tells whether this may name a table, column or format.
    pub(super) fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::QuotedName)
    }

    /// Tells whether this is the name `text`, quoted or not. Names keep their case.
    pub(super) fn is_column(&self, text: &str) -> bool {
        self.is_name() && self.text == text.as_bytes()
    }
}

/// Goes through a text token by token, over blanks and comments.
#[derive(Clone)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    /// The last two tokens.
    recent: [Option<Token<'a>>; 2],
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            recent: [None, None],
        }
    }

    /// Returns the token before the last one.
    pub(super) fn before_last(&self) -> Option<Token<'a>> {
        self.recent[0]
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_until(&mut self, end: &[u8]) {
        let found = self.rest().windows(end.len()).position(|part| part == end);
        self.at = found.map_or(self.text.len(), |offset| self.at + offset + end.len());
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            if rest.first().is_some_and(u8::is_ascii_whitespace) {
                self.at += 1;
            } else if rest.starts_with(b"--") || rest.starts_with(b"# ") || rest.starts_with(b"#!")
            {
                self.skip_until(b"\n");
            } else if rest.starts_with(b"/*") {
                self.at += 2;
                self.skip_until(b"*/");
            } else {
                return;
            }
        }
    }

    /// Moves behind a closing quote; backslashes escape, doubled quotes do not close.
    fn skip_quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            if byte == quote {
                if self.text.get(self.at + 1) != Some(&quote) {
                    self.at += 1;
                    return;
                }
                self.at += 1;
            } else if byte == b'\\' {
                self.at += 1;
            }
            self.at += 1;
        }
        self.at = self.text.len();
    }

    /// Moves behind `$tag$ … $tag$`, if that is what stands here.
    fn skip_heredoc(&mut self) -> bool {
        let rest = self.rest();
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let name = rest.iter().skip(1).take_while(|byte| word(byte)).count();
        if rest.get(name + 1) != Some(&b'$') {
            return false;
        }
        let tag = &rest[..name + 2];
        self.at += tag.len();
        self.skip_until(tag);
        true
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let start = self.at;
        let first = *self.text.get(start)?;
        let mut depth = self.depth;
        let kind = match first {
            b'\'' => {
                self.skip_quoted(first);
                Kind::String
            }
            b'"' | b'`' => {
                self.skip_quoted(first);
                Kind::QuotedName
            }
            b'$' if self.skip_heredoc() => Kind::String,
            _ if first.is_ascii_alphanumeric() || first == b'_' || first >= 0x80 => {
                let word =
                    |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
                self.at += self.rest().iter().take_while(|byte| word(byte)).count();
                Kind::Word
            }
            _ => {
                self.at += 1;
                match first {
                    b'(' | b'[' | b'{' => self.depth += 1,
                    b')' | b']' | b'}' => {
                        self.depth = self.depth.saturating_sub(1);
                        depth = self.depth;
                    }
                    _ => {}
                }
                Kind::Sign
            }
        };
        let text = match kind {
            Kind::QuotedName => &self.text[start + 1..self.at.saturating_sub(1).max(start + 1)],
            Kind::Word | Kind::String | Kind::Sign => &self.text[start..self.at],
        };
        let token = Token {
            kind,
            text,
            start,
            end: self.at,
            depth,
        };
        self.recent = [self.recent[1], Some(token)];
        Some(token)
    }
}
