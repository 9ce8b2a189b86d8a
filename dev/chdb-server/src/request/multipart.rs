//! Multipart bodies, by which clients send a statement together with its parameters.

use crate::exception::{Code, Exception};

/// Returns the boundary if the content type is `multipart/form-data`.
pub(super) fn boundary(content_type: &str) -> Option<Vec<u8>> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters
        .split(';')
        .find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    Some(boundary.trim_matches('"').as_bytes().to_vec())
}

/// Splits a body into names and values.
///
/// # Errors
/// The body is damaged, or holds a file: this server has no external tables.
pub(super) fn fields(body: &[u8], boundary: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Exception> {
    let damaged = || Exception::new(Code::BadArguments, "The multipart body is damaged");
    let opening = [b"--", boundary].concat();
    let delimiter = [b"\r\n--", boundary].concat();
    let mut rest = body.strip_prefix(opening.as_slice()).ok_or_else(damaged)?;
    let mut fields = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest.strip_prefix(b"\r\n").ok_or_else(damaged)?;
        let head_end = find(rest, b"\r\n\r\n").ok_or_else(damaged)?;
        let head = String::from_utf8_lossy(&rest[..head_end]).into_owned();
        rest = &rest[head_end + 4..];
        let value_end = find(rest, &delimiter).ok_or_else(damaged)?;
        if attribute(&head, "filename").is_some() {
            let text = "This server has no external tables: a field of the body is a file";
            return Err(Exception::new(Code::NotImplemented, text));
        }
        let name = attribute(&head, "name").ok_or_else(damaged)?;
        fields.push((name, rest[..value_end].to_vec()));
        rest = &rest[value_end + delimiter.len()..];
    }
    Ok(fields)
}

fn attribute(head: &str, name: &str) -> Option<String> {
    head.split(['\r', '\n', ';'])
        .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"').to_owned())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::{boundary, fields};

    #[test]
    fn fields_keep_their_line_ends() {
        let body = b"--xyz\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT\r\n1\r\n--xyz\r\n\
            Content-Disposition: form-data; name=\"param_a\"\r\n\r\n\r\n--xyz--\r\n";
        assert_eq!(
            fields(body, b"xyz"),
            Ok(vec![
                ("query".to_owned(), b"SELECT\r\n1".to_vec()),
                ("param_a".to_owned(), Vec::new()),
            ])
        );
        assert_eq!(
            boundary("multipart/form-data; boundary=\"xyz\""),
            Some(b"xyz".to_vec())
        );
        assert_eq!(boundary("text/plain; boundary=xyz"), None);
    }

    #[test]
    fn damaged_bodies_and_files_are_refused() {
        assert!(fields(b"--xyz\r\nContent", b"xyz").is_err());
        let file = b"--xyz\r\nContent-Disposition: form-data; name=\"t\"; filename=\"t.tsv\"\r\n\r\n1\r\n--xyz--\r\n";
        assert_eq!(fields(file, b"xyz").map_err(|e| e.code), Err(48));
    }
}
