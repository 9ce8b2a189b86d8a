//! Splitting a file of SQL into statements.

/// Returns the statements of a file, without the comments before them. A semicolon ends a statement unless it is in a
/// string, a quoted name or a comment.
///
/// # Errors
///
/// What was opened and not closed.
pub(super) fn statements(sql: &str) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    let mut rest = sql;
    // Where the statement at hand begins, once something other than space and comments was met.
    let mut begin: Option<usize> = None;
    while let Some(next) = rest.chars().next() {
        let at = sql.len() - rest.len();
        let token = token(rest)?;
        let is_void = next.is_whitespace() || rest.starts_with("--") || rest.starts_with("/*");
        if next == ';' {
            if let Some(begin) = begin.take() {
                found.push(sql[begin..at].trim_end());
            }
        } else if !is_void {
            begin.get_or_insert(at);
        }
        rest = &rest[token..];
    }
    if let Some(begin) = begin {
        found.push(sql[begin..].trim_end());
    }
    Ok(found)
}

/// Returns the length in bytes of the token at the front of `sql`, which is not empty.
fn token(sql: &str) -> Result<usize, String> {
    if sql.starts_with("--") {
        return Ok(sql.find('\n').unwrap_or(sql.len()));
    }
    if let Some(comment) = sql.strip_prefix("/*") {
        return comment
            .find("*/")
            .map(|end| end + 4)
            .ok_or_else(|| "a comment is not closed".to_owned());
    }
    let first = sql.chars().next().map_or(0, char::len_utf8);
    match sql.as_bytes()[0] {
        quote @ (b'\'' | b'"' | b'`') => quoted(sql, quote),
        _ => Ok(first),
    }
}

/// Returns the length of a quoted token. A doubled quote reads as two tokens side by side, which comes to the same.
fn quoted(sql: &str, quote: u8) -> Result<usize, String> {
    let mut bytes = sql.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        if byte == b'\\' {
            bytes.next();
        } else if byte == quote {
            return Ok(at + 1);
        }
    }
    Err(format!("a {} is not closed", char::from(quote)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_in_strings_names_and_comments_end_nothing() {
        let sql = "-- first; comment\nSELECT 'a;b', 'it''s; \\'', `x;y`, \"p;q\" /* c; */; \n ;; -- last;\n SELECT 2 -- ; end";
        assert_eq!(
            statements(sql).unwrap(),
            [
                "SELECT 'a;b', 'it''s; \\'', `x;y`, \"p;q\" /* c; */",
                "SELECT 2 -- ; end"
            ]
        );
    }

    #[test]
    fn a_file_of_comments_has_no_statement() {
        assert!(statements("-- nothing\n/* here */ ;").unwrap().is_empty());
        assert!(statements("").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_closed_is_named() {
        assert_eq!(statements("SELECT 'ü").unwrap_err(), "a ' is not closed");
        assert_eq!(
            statements("SELECT /* ü").unwrap_err(),
            "a comment is not closed"
        );
    }
}
