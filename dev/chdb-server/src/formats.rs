//! What must be known about ClickHouse's formats: content types, and which can be sent in pieces.

/// How the pieces of a streamed result become one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joining {
    /// The engine starts every piece anew, with brackets, headers and row numbers: only the whole result will do.
    Impossible,
    /// Pieces follow each other as they are.
    Plain,
    /// Every piece begins with this kind of header, which belongs to the first only.
    Header(Header),
}

/// What stands before the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// So many lines in which a line end is always escaped.
    Lines(usize),
    /// So many lines of CSV, whose names may contain line ends.
    CsvLines(usize),
    /// The number of columns, then so many strings for each, lengths as LEB128.
    Strings(usize),
}

/// Formats whose rows just follow each other.
const PLAIN: &[&str] = &[
    "tabseparated",
    "tsv",
    "tabseparatedraw",
    "tsvraw",
    "raw",
    "csv",
    "jsoneachrow",
    "jsonlines",
    "ndjson",
    "jsonstringseachrow",
    "jsoncompacteachrow",
    "jsoncompactstringseachrow",
    "rowbinary",
    "rawblob",
    "lineasstring",
    "native",
];

/// Tells how a format's pieces are joined.
pub(crate) fn joining(format: &str) -> Joining {
    let name = format.to_ascii_lowercase();
    if PLAIN.contains(&name.as_str()) {
        return Joining::Plain;
    }
    let (base, count) = if let Some(base) = name.strip_suffix("withnamesandtypes") {
        (base, 2)
    } else if let Some(base) = name.strip_suffix("withnames") {
        (base, 1)
    } else {
        return Joining::Impossible;
    };
    match base {
        "rowbinary" => Joining::Header(Header::Strings(count)),
        "csv" => Joining::Header(Header::CsvLines(count)),
        "tabseparated"
        | "tsv"
        | "tabseparatedraw"
        | "tsvraw"
        | "jsoncompacteachrow"
        | "jsoncompactstringseachrow" => Joining::Header(Header::Lines(count)),
        _ => Joining::Impossible,
    }
}

impl Header {
    /// Returns how long the header at the beginning of `piece` is; all of it when it does not end.
    pub(crate) fn length(self, piece: &[u8]) -> usize {
        let length = match self {
            Self::Lines(count) => lines(piece, count, false),
            Self::CsvLines(count) => lines(piece, count, true),
            Self::Strings(count) => strings(piece, count),
        };
        length.unwrap_or(piece.len())
    }
}

fn lines(piece: &[u8], count: usize, quotes: bool) -> Option<usize> {
    let mut quoted = false;
    let ends = piece.iter().enumerate().filter(|&(_, &byte)| {
        quoted ^= quotes && byte == b'"';
        byte == b'\n' && !quoted
    });
    let (last, _) = ends.take(count).last()?;
    Some(last + 1)
}

fn strings(piece: &[u8], per_column: usize) -> Option<usize> {
    let mut at = 0;
    let columns = leb128(piece, &mut at)?;
    for _ in 0..columns * per_column {
        let length = leb128(piece, &mut at)?;
        at = at.checked_add(length).filter(|&end| end <= piece.len())?;
    }
    Some(at)
}

fn leb128(piece: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = *piece.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Returns the content type of a result.
pub(crate) fn content_type(format: &str) -> &'static str {
    let name = format.to_ascii_lowercase();
    if name.starts_with("tabseparated") || name.starts_with("tsv") {
        "text/tab-separated-values; charset=UTF-8"
    } else if name.starts_with("csvwithnames") {
        "text/csv; charset=UTF-8; header=present"
    } else if name.starts_with("csv") {
        "text/csv; charset=UTF-8; header=absent"
    } else if name == "jsoneachrow" || name.starts_with("jsoncompact") && name.contains("eachrow") {
        "application/x-ndjson; charset=UTF-8"
    } else if name.starts_with("json") {
        "application/json; charset=UTF-8"
    } else if name == "xml" {
        "application/xml; charset=UTF-8"
    } else if [
        "rowbinary",
        "native",
        "parquet",
        "arrow",
        "orc",
        "avro",
        "rawblob",
    ]
    .iter()
    .any(|binary| name.starts_with(binary))
    {
        "application/octet-stream"
    } else {
        "text/plain; charset=UTF-8"
    }
}

#[cfg(test)]
mod tests {
    use super::{Header, Joining, joining};

    #[test]
    fn formats_with_a_frame_are_not_streamed() {
        for format in [
            "JSON",
            "JSONCompact",
            "Parquet",
            "Pretty",
            "Vertical",
            "Values",
            "Null",
        ] {
            assert_eq!(joining(format), Joining::Impossible, "{format}");
        }
        assert_eq!(joining("RowBinary"), Joining::Plain);
        assert_eq!(
            joining("RowBinaryWithNamesAndTypes"),
            Joining::Header(Header::Strings(2))
        );
    }

    #[test]
    fn headers_are_measured() {
        assert_eq!(Header::Lines(2).length(b"a\tb\nString\tString\n1\t2\n"), 18);
        assert_eq!(Header::CsvLines(1).length(b"\"a\nb\",\"c\"\n1,2\n"), 10);
        assert_eq!(
            Header::Strings(2).length(b"\x02\x01a\x01b\x05UInt8\x06Stringrow"),
            18
        );
        assert_eq!(Header::Strings(1).length(b"\x02\x01a\x09b"), 5);
    }
}
