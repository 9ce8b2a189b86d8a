//! Where lines come from: a file or standard input, gzip or not, read twice.
//!
//! The first pass takes the digest and counts, the second sends; so standard input is put into an
//! unnamed temporary file first.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;

/// Longest line that is kept; the rest of a longer one is skipped.
pub(crate) const MAX_LINE_BYTES: usize = 64 * 1024;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 256 * 1024;

/// Content that can be read from its beginning again and again.
#[derive(Debug)]
pub(crate) struct Input {
    /// As it was named: a path or `-`.
    pub(crate) name: String,
    file: File,
    gzip: bool,
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawLine<'a> {
    /// From 1.
    pub(crate) number: u64,
    /// Its bytes, at most [`MAX_LINE_BYTES`].
    pub(crate) bytes: &'a [u8],
    /// Whether there was more.
    pub(crate) cut: bool,
}

/// Reads lines, and digests the content as it goes by.
pub(crate) struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    number: u64,
    line: Vec<u8>,
    hasher: blake3::Hasher,
}

impl Input {
    /// Opens a file, or standard input if `name` is `-`; the latter is read to its end.
    ///
    /// # Errors
    /// Fails if the file cannot be read or the temporary one cannot be written.
    pub(crate) fn open(name: &str) -> Result<Self> {
        let mut file = if name == "-" {
            let mut spool = tempfile::tempfile()
                .context("cannot make a temporary file for standard input (set TMPDIR)")?;
            io::copy(&mut io::stdin().lock(), &mut spool)
                .context("cannot copy standard input to a temporary file (set TMPDIR)")?;
            spool
        } else {
            File::open(Path::new(name)).with_context(|| format!("cannot open {name}"))?
        };
        let gzip = starts_with_magic(&mut file).with_context(|| format!("cannot read {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            file,
            gzip,
        })
    }

    /// Starts reading from the beginning. One reader at a time: they share the file's position.
    ///
    /// # Errors
    /// Fails if the file cannot be read again, as a pipe cannot.
    pub(crate) fn lines(&self) -> Result<Lines> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0)).with_context(|| {
            format!("cannot read {} twice; give it as standard input", self.name)
        })?;
        let reader: Box<dyn Read + Send> = if self.gzip {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(
                BUFFER_BYTES,
                file,
            )))
        } else {
            Box::new(file)
        };
        Ok(Lines::new(reader))
    }
}

fn starts_with_magic(file: &mut File) -> io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
    let mut head = Vec::with_capacity(GZIP_MAGIC.len());
    file.take(GZIP_MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(head == GZIP_MAGIC)
}

impl Lines {
    fn new(reader: Box<dyn Read + Send>) -> Self {
        Self {
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            number: 0,
            line: Vec::new(),
            hasher: blake3::Hasher::new(),
        }
    }

    /// Returns the next line, or `None` at the end.
    ///
    /// # Errors
    /// Fails if the content cannot be read, as with damaged gzip.
    pub(crate) fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.line.clear();
        let mut cut = false;
        let mut seen = false;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            seen = true;
            let newline = buffer.iter().position(|byte| *byte == b'\n');
            let (piece, used) = match newline {
                Some(at) => (&buffer[..at], at + 1),
                None => (buffer, buffer.len()),
            };
            let room = MAX_LINE_BYTES - self.line.len();
            cut |= piece.len() > room;
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            self.hasher.update(&buffer[..used]);
            self.reader.consume(used);
            if newline.is_some() {
                break;
            }
        }
        if !seen {
            return Ok(None);
        }
        self.number += 1;
        let bytes = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        Ok(Some(RawLine {
            number: self.number,
            bytes,
            cut,
        }))
    }

    /// Returns the digest, in hex, of what was read so far: at the end, of the content.
    pub(crate) fn digest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn input(content: &[u8]) -> (tempfile::NamedTempFile, Input) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let input = Input::open(file.path().to_str().unwrap()).unwrap();
        (file, input)
    }

    fn read(input: &Input) -> (Vec<(u64, Vec<u8>, bool)>, String) {
        let mut lines = input.lines().unwrap();
        let mut read = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            read.push((line.number, line.bytes.to_vec(), line.cut));
        }
        (read, lines.digest())
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_come_with_numbers_and_without_ends() {
        let (_file, input) = input(b"a\r\n\nc");
        let expected = vec![
            (1, b"a".to_vec(), false),
            (2, Vec::new(), false),
            (3, b"c".to_vec(), false),
        ];
        assert_eq!(read(&input).0, expected);
        assert_eq!(read(&input).0, expected, "a second time");
    }

    #[test]
    fn gzip_is_told_by_content_and_has_the_digest_of_what_it_holds() {
        let content = b"one\ntwo\n".repeat(100_000);
        let (_plain, plain) = input(&content);
        let (_packed, packed) = input(&gzip(&content));
        assert_eq!(read(&plain), read(&packed));
        assert_eq!(read(&plain).1, blake3::hash(&content).to_hex().to_string());
        let mut members = gzip(b"one\n");
        members.extend(gzip(b"two\n"));
        let (_members, members) = input(&members);
        assert_eq!(read(&members).0.len(), 2);
    }

    #[test]
    fn a_line_of_any_length_takes_bounded_memory() {
        let mut content = vec![b'x'; MAX_LINE_BYTES];
        content.push(b'\n');
        content.extend(vec![b'y'; 3 * BUFFER_BYTES]);
        content.extend(b"\nz\n");
        let (_file, input) = input(&content);
        let (lines, digest) = read(&input);
        let shape: Vec<_> = lines
            .iter()
            .map(|(_, line, cut)| (line.len(), *cut))
            .collect();
        assert_eq!(
            shape,
            [(MAX_LINE_BYTES, false), (MAX_LINE_BYTES, true), (1, false)]
        );
        assert_eq!(digest, blake3::hash(&content).to_hex().to_string());
    }

    #[test]
    fn damaged_gzip_is_an_error() {
        let mut content = gzip(&b"line\n".repeat(1000));
        content.truncate(content.len() / 2);
        let (_file, input) = input(&content);
        let mut lines = input.lines().unwrap();
        let error = loop {
            match lines.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the end came without an error"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nothing_has_no_lines() {
        let (_file, input) = input(b"");
        assert_eq!(read(&input).0, []);
    }
}
