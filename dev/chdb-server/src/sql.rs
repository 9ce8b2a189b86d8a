//! Just enough of ClickHouse's SQL to send a statement down the right path: where an INSERT's data begin, which format a result has,
//! what a query id stands for. Everything else is the engine's: this parser refuses nothing that it does not understand.

mod lexer;

use std::borrow::Cow;

use lexer::{Lexer, Token};

/// What a text asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// An INSERT whose rows follow.
    Insert(Insert),
    /// Anything else.
    Query(Query),
}

/// An INSERT whose rows follow the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Insert {
    /// Where the keyword FORMAT or VALUES begins: the text before it is what the engine's insert stream takes.
    pub(crate) head_end: usize,
    /// The format of the rows.
    pub(crate) format: String,
    /// Where the rows begin.
    pub(crate) data_start: usize,
}

/// Facts about a statement that carries no rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// It begins like a SELECT.
    pub(crate) is_select: bool,
    /// It is a KILL.
    pub(crate) is_kill: bool,
    /// It is an INSERT … SELECT.
    pub(crate) is_insert: bool,
    /// What its FORMAT clause names.
    pub(crate) format: Option<String>,
    /// There is another statement after it.
    pub(crate) is_followed: bool,
    /// It has `INTO OUTFILE`.
    pub(crate) writes_file: bool,
    /// It has `FROM INFILE`.
    pub(crate) reads_file: bool,
    /// It is an INSERT … SELECT from `input()`, the body.
    pub(crate) reads_input: bool,
    /// It calls a function that reads files of the server's or opens connections.
    pub(crate) reaches_out: bool,
    /// There is nothing but blanks and comments.
    pub(crate) is_empty: bool,
}

/// Looks at a statement. `text` may be cut off anywhere behind the place where an INSERT's data begin.
pub(crate) fn analyse(text: &[u8]) -> Statement {
    match insert(text) {
        Some(insert) => Statement::Insert(insert),
        None => Statement::Query(query(text)),
    }
}

fn insert(text: &[u8]) -> Option<Insert> {
    let mut tokens = Lexer::new(text);
    let mut token = tokens.next()?;
    if !token.is("INSERT") || !tokens.next()?.is("INTO") {
        return None;
    }
    token = tokens.next()?;
    if token.is("FUNCTION") {
        token = tokens.next()?;
    } else if token.is("TABLE") {
        // `TABLE` may be the table's name as well.
        let next = tokens.clone().next()?;
        if next.is_name() && !next.is("FORMAT") && !next.is("VALUES") && !next.is("SETTINGS") {
            token = tokens.next()?;
        }
    }
    if !token.is_name() {
        return None;
    }
    if tokens.clone().next().is_some_and(|dot| dot.is(".")) {
        tokens.next()?;
        tokens.next()?;
    }
    while let Some(token) = tokens.next() {
        if token.depth > 0 {
            let opens_query = token.is("SELECT") || token.is("WITH");
            if opens_query && token.depth == 1 && tokens.before_last().is_some_and(|t| t.is("(")) {
                return None;
            }
            continue;
        }
        if token.is("VALUES") {
            return Some(Insert {
                head_end: token.start,
                format: "Values".to_owned(),
                data_start: token.end,
            });
        }
        if token.is("FORMAT") {
            let name = tokens.next().filter(Token::is_name)?;
            return Some(Insert {
                head_end: token.start,
                format: String::from_utf8_lossy(name.text).into_owned(),
                data_start: data_start(text, name.end),
            });
        }
        if ["SELECT", "WITH", "WATCH", "FROM", ";"]
            .iter()
            .any(|word| token.is(word))
        {
            return None;
        }
    }
    None
}

/// Skips blanks and one line end, as ClickHouse's parser does between the format's name and the data.
fn data_start(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while matches!(text.get(at), Some(b' ' | b'\t' | 0x0c)) {
        at += 1;
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

fn query(text: &[u8]) -> Query {
    let mut query = Query {
        is_empty: true,
        ..Query::default()
    };
    let mut previous: Option<Token<'_>> = None;
    let mut ended = false;
    for token in Lexer::new(text) {
        if token.is(";") && token.depth == 0 {
            ended = true;
            continue;
        }
        if ended {
            query.is_followed = true;
            break;
        }
        if query.is_empty {
            query.is_empty = false;
            query.is_select = ["SELECT", "WITH", "("].iter().any(|word| token.is(word));
            query.is_kill = token.is("KILL");
            query.is_insert = token.is("INSERT");
        }
        if let Some(previous) = previous {
            if previous.is("FORMAT") && token.is_name() && token.depth == 0 {
                query.format = Some(String::from_utf8_lossy(token.text).into_owned());
            }
            query.writes_file |= previous.is("INTO") && token.is("OUTFILE");
            query.reads_file |= previous.is("FROM") && token.is("INFILE");
            if token.is("(") && previous.is_name() {
                query.reads_input |= query.is_insert && previous.is_column("input");
                query.reaches_out |= reaches_out(previous.text);
            }
        }
        previous = Some(token);
    }
    query
}

/// Functions, and beginnings of their names, that a server's grants keep from readers. The engine has no grants and checks only some.
const REACHING_OUT: &[&str] = &[
    "file",
    "url",
    "s3",
    "gcs",
    "oss",
    "cosn",
    "hdfs",
    "azureblobstorage",
    "remote",
    "cluster",
    "mysql",
    "postgresql",
    "mongodb",
    "redis",
    "sqlite",
    "odbc",
    "jdbc",
    "ytsaurus",
    "executable",
    "deltalake",
    "iceberg",
    "hudi",
    "paimon",
    "arrowflight",
    "python",
];

/// How longer names of such functions go on.
const VARIANTS: &[&str] = &[
    "cluster",
    "secure",
    "allreplicas",
    "system",
    "local",
    "s3",
    "azure",
    "hdfs",
    "pool",
];

fn reaches_out(function: &[u8]) -> bool {
    let name = String::from_utf8_lossy(function).to_ascii_lowercase();
    REACHING_OUT.iter().any(|beginning| {
        name.strip_prefix(beginning).is_some_and(|end| {
            end.is_empty() || VARIANTS.iter().any(|variant| end.starts_with(variant))
        })
    })
}

/// Tells whether a text begins with KILL.
pub(crate) fn is_kill(text: &[u8]) -> bool {
    Lexer::new(text)
        .next()
        .is_some_and(|token| token.is("KILL"))
}

/// The setting that carries a query's id into the engine, whose interface has no place for one. It labels entries of the query cache,
/// which the engine does not have.
pub(crate) const ID_SETTING: &str = "query_cache_tag";

/// Replaces what a statement says about query ids by where they are kept: the engine gives ids of its own.
pub(crate) fn with_query_ids(text: &[u8]) -> Cow<'_, [u8]> {
    let tokens: Vec<Token<'_>> = Lexer::new(text).collect();
    let kill = tokens.first().is_some_and(|token| token.is("KILL"))
        && tokens.get(1).is_some_and(|token| token.is("QUERY"));
    let mut replaced = Vec::new();
    let mut copied = 0;
    let mut replace = |token: &Token<'_>, end: usize, by: &str| {
        replaced.extend_from_slice(&text[copied..token.start]);
        replaced.extend_from_slice(by.as_bytes());
        copied = end;
    };
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|at| tokens.get(at));
        let follows_dot = before.is_some_and(|before| before.is("."));
        let next = |ahead: usize| tokens.get(index + ahead);
        if kill && token.is_column("query_id") && !follows_dot {
            replace(token, token.end, &format!("Settings['{ID_SETTING}']"));
        }
        let reads_table = before.is_some_and(|before| before.is("FROM") || before.is("JOIN"));
        if !kill
            && reads_table
            && token.is_column("system")
            && next(1).is_some_and(|dot| dot.is("."))
            && let Some(table) = next(2).filter(|table| table.is_column("processes"))
        {
            let id = format!("Settings['{ID_SETTING}']");
            let by = format!(
                "(SELECT * REPLACE ({id} AS query_id, {id} AS initial_query_id) FROM system.processes)"
            );
            replace(token, table.end, &by);
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    replaced.extend_from_slice(&text[copied..]);
    Cow::Owned(replaced)
}

/// Writes a value as a string literal.
pub(crate) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Writes a name as a quoted identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

#[cfg(test)]
mod tests;
